#include "base/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <fstream>
#include <utility>

namespace tessera {
namespace {

#if defined(__x86_64__)
// clang 14's __builtin_cpu_supports does not know this name.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

}  // namespace

uint32_t cpu_features() {
  static const uint32_t features = [] {
    uint32_t f = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();  // also checks XCR0
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) f |= kCpuAvx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      f |= kCpuAvx512;
      if (__builtin_cpu_supports("avx512vnni")) f |= kCpuAvx512Vnni;
      if (__builtin_cpu_supports("avx512bf16")) f |= kCpuAvx512Bf16;
    }
#elif defined(__aarch64__)
    f |= kCpuNeon;
    if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) f |= kCpuNeonDot;
#endif
    return f;
  }();
  return features;
}

std::string cpu_feature_names(uint32_t features) {
  static constexpr std::pair<uint32_t, const char*> kNames[] = {
      {kCpuAvx2, "avx2"},          {kCpuAvx512, "avx512"},          {kCpuAvx512Vnni, "avx512_vnni"},
      {kCpuAvx512Bf16, "avx512_bf16"}, {kCpuNeon, "neon"}, {kCpuNeonDot, "neon_dotprod"}};
  std::string names;
  for (const auto& [bit, name] : kNames) {
    if (features & bit) names += (names.empty() ? "" : " ") + std::string(name);
  }
  return names.empty() ? "none" : names;
}

std::string cpu_model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

}  // namespace tessera
