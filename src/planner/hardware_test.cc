#include "planner/hardware.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace tessera {
namespace {

TEST(Hardware, EveryShippedDescriptionParsesAndSurvivesARoundTrip) {
  const auto names = shipped_hardware();
  EXPECT_GE(names.size(), 11u);
  for (const std::string& name : names) {
    const auto spec = find_hardware(name);
    ASSERT_TRUE(spec.ok()) << spec.status().message();
    EXPECT_EQ(spec->name, name);
    EXPECT_FALSE(spec->sources.empty()) << name;
    const std::string text = hardware_to_json(*spec);
    const auto again = parse_hardware(text, name);
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(hardware_to_json(*again), text);
  }
}

TEST(Hardware, SavedFileIsLoadedBack) {
  HardwareSpec spec = *find_hardware("epyc-9654");
  spec.kernels["q8_0"] = {3e12, 2e11, 4};
  const std::string path = testing::TempDir() + "/hardware.json";
  ASSERT_TRUE(save_hardware(spec, path).ok());
  const auto loaded = find_hardware(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->kernels.at("q8_0").matmul_flops, 3e12);
  std::remove(path.c_str());
}

TEST(Hardware, ErrorsNameTheField) {
  const auto message = [](const char* text) { return parse_hardware(text, "h.json").status().message(); };
  EXPECT_EQ(message("{"), "h.json: not valid JSON");
  EXPECT_EQ(message("{}"), "h.json: field 'name' is missing");
  EXPECT_EQ(message(R"({"name":"a","peak_flops":{"bf16":1e12},"memory_bytes":-1,"memory_bandwidth":1})"),
            "h.json: field 'memory_bytes': expected a number in [1, 1e+21], found -1");
  EXPECT_EQ(message(R"({"name":"a","peak_flops":{"int8":1e12},"memory_bytes":1,"memory_bandwidth":1})"),
            "h.json: peak_flops: expected bf16 or f32, found neither");
  EXPECT_NE(find_hardware("nonesuch").status().message().find("tpu-v4"), std::string::npos);
}

TEST(Hardware, ThisMachineAlwaysHasAnAnswer) {
  const HardwareSpec spec = this_machine();
  EXPECT_GT(spec.memory_bytes, 1e8);
  EXPECT_GT(peak_for_weights(spec, "q8_0"), 1e9);
  EXPECT_GT(peak_for_weights(spec, "f32"), 1e9);
  EXPECT_EQ(peak_for_weights(spec, "f16"), peak_for_weights(spec, "f32"));
}

}  // namespace
}  // namespace tessera
