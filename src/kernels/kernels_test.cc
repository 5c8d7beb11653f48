#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include "base/cpu_features.h"

namespace tessera {
namespace {

TEST(KernelTable, GenericFillsEverySlot) {
  const auto table = build_kernel_table("generic", 0);
  ASSERT_TRUE(table.ok());
  for (const KernelSlot& slot : kernel_slots(*table)) {
    // Only this one is optional: without it bf16 weights are multiplied with f32 activations.
    EXPECT_STREQ(slot.layer, slot.name == "matmul.pairs.bf16" ? "none" : "generic") << slot.name;
  }
}

// What TESSERA_KERNELS names is what runs: no slot of a capped table belongs to a later layer, and the layer itself
// fills at least one.
TEST(KernelTable, CapIsHonest) {
  const auto layers = kernel_layers();
  for (size_t cap = 0; cap < layers.size(); ++cap) {
    if ((layers[cap].features & ~cpu_features()) != 0) continue;
    const auto table = build_kernel_table(layers[cap].name, cpu_features());
    ASSERT_TRUE(table.ok());
    bool fills = false;
    for (const KernelSlot& slot : kernel_slots(*table)) {
      fills |= std::string_view(layers[cap].name) == slot.layer;
      bool allowed = slot.name == "matmul.pairs.bf16" && std::string_view(slot.layer) == "none";
      for (size_t i = 0; i <= cap; ++i) allowed |= std::string_view(layers[i].name) == slot.layer;
      EXPECT_TRUE(allowed) << slot.name << " is of " << slot.layer << " under cap " << layers[cap].name;
    }
    EXPECT_TRUE(fills) << layers[cap].name;
  }
}

TEST(KernelTable, BadCapsAreRefused) {
  EXPECT_EQ(build_kernel_table("sse9", cpu_features()).status().code(), StatusCode::kInvalidArgument);
#if defined(__x86_64__)
  EXPECT_EQ(build_kernel_table("avx512", kCpuAvx2).status().code(), StatusCode::kUnsupported);
#elif defined(__aarch64__)
  EXPECT_EQ(build_kernel_table("neon_dotprod", kCpuNeon).status().code(), StatusCode::kUnsupported);
#endif
}

TEST(KernelTable, DescriptionNamesLayers) {
  EXPECT_NE(describe_kernels().find("elementwise.rms_norm"), std::string::npos);
}

}  // namespace
}  // namespace tessera
