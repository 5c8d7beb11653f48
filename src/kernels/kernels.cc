#include "kernels/kernels.h"

#include <cstdlib>
#include <cstring>

#include "base/cpu_features.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

constexpr KernelLayer kLayers[] = {
    {"generic", 0, generic::apply, generic::apply, generic::apply},
#if defined(__x86_64__)
    {"avx2", kCpuAvx2, avx2::apply, avx2::apply, avx2::apply},
    {"avx512", kCpuAvx2 | kCpuAvx512, avx512::apply, avx512::apply, avx512::apply},
    {"avx512_vnni", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni, avx512_vnni::apply, nullptr, avx512_vnni::apply},
    {"avx512_bf16", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Bf16, avx512_bf16::apply, nullptr, avx512_bf16::apply},
#elif defined(__aarch64__)
    // No elementwise: NEON is the baseline that the generic loops are compiled for.
    {"neon", kCpuNeon, neon::apply, nullptr, neon::apply},
    {"neon_dotprod", kCpuNeon | kCpuNeonDot, neon_dotprod::apply, nullptr, nullptr},
#endif
};

void apply_layer(const KernelLayer& layer, KernelTable& table) {
  if (layer.matmul != nullptr) layer.matmul(table.matmul);
  if (layer.elementwise != nullptr) layer.elementwise(table.elementwise);
  if (layer.attention != nullptr) layer.attention(table.attention);
}

std::string_view environment_cap() {
  const char* value = std::getenv("TESSERA_KERNELS");
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// Slot i of a struct that consists of function pointers.
template <class Part>
const void* slot(const Part& part, size_t i) {
  const void* pointer = nullptr;
  std::memcpy(&pointer, reinterpret_cast<const char*>(&part) + i * sizeof(void*), sizeof(void*));
  return pointer;
}

template <class Part>
void add_slots(const char* subject, const char* const* names, const Part& part, void (*KernelLayer::*apply)(Part&),
               std::vector<KernelSlot>& slots) {
  for (size_t i = 0; names[i] != nullptr; ++i) {
    const char* owner = "none";
    for (const KernelLayer& layer : kLayers) {
      if (layer.*apply == nullptr) continue;
      Part own{};
      (layer.*apply)(own);
      if (slot(own, i) != nullptr && slot(own, i) == slot(part, i)) owner = layer.name;
    }
    slots.push_back({std::string(subject) + "." + names[i], owner});
  }
}

template <size_t N, class Part>
constexpr bool names_every_slot(const char* const (&)[N], const Part*) {
  return std::is_empty_v<Part> ? N == 1 : (N - 1) * sizeof(void*) == sizeof(Part);
}
static_assert(names_every_slot(kMatmulKernelNames, static_cast<MatmulKernels*>(nullptr)));
static_assert(names_every_slot(kElementwiseKernelNames, static_cast<ElementwiseKernels*>(nullptr)));
static_assert(names_every_slot(kAttentionKernelNames, static_cast<AttentionKernels*>(nullptr)));

}  // namespace

std::span<const KernelLayer> kernel_layers() { return kLayers; }

Result<KernelTable> build_kernel_table(std::string_view cap, uint32_t features) {
  KernelTable table;
  bool found = cap.empty();
  for (const KernelLayer& layer : kLayers) {
    const bool usable = (layer.features & ~features) == 0;
    if (usable) apply_layer(layer, table);
    if (cap == layer.name) {
      if (!usable) {
        return unsupported("kernel layer {}: needs {}, the processor has {}", cap, cpu_feature_names(layer.features),
                           cpu_feature_names(features));
      }
      found = true;
      break;
    }
  }
  if (!found) {
    std::string names;
    for (const KernelLayer& layer : kLayers) names += std::string(names.empty() ? "" : ", ") + layer.name;
    return invalid_argument("TESSERA_KERNELS: expected one of {}, found \"{}\"", names, cap);
  }
  return table;
}

const KernelTable& kernels() {
  static const KernelTable table = [] {
    auto capped = build_kernel_table(environment_cap(), cpu_features());
    return capped.ok() ? *capped : *build_kernel_table("", cpu_features());
  }();
  return table;
}

Status check_kernel_environment() { return build_kernel_table(environment_cap(), cpu_features()).status(); }

std::vector<KernelSlot> kernel_slots(const KernelTable& table) {
  std::vector<KernelSlot> slots;
  add_slots("matmul", kMatmulKernelNames, table.matmul, &KernelLayer::matmul, slots);
  add_slots("elementwise", kElementwiseKernelNames, table.elementwise, &KernelLayer::elementwise, slots);
  add_slots("attention", kAttentionKernelNames, table.attention, &KernelLayer::attention, slots);
  return slots;
}

std::string describe_kernels() {
  std::string text = "processor  " + cpu_model_name() + "\nfeatures   " + cpu_feature_names(cpu_features()) +
                     "\ncap        " + (environment_cap().empty() ? "none" : std::string(environment_cap())) + "\n";
  for (const KernelSlot& s : kernel_slots(kernels()))
    text += "  " + s.name + std::string(s.name.size() < 40 ? 40 - s.name.size() : 1, ' ') + s.layer + "\n";
  return text;
}

}  // namespace tessera
