// What the processor and the operating system allow, asked once. Kernel layers compare their mask with this.
#ifndef TESSERA_BASE_CPU_FEATURES_H_
#define TESSERA_BASE_CPU_FEATURES_H_

#include <cstdint>
#include <string>

namespace tessera {

enum CpuFeature : uint32_t {
  kCpuAvx2 = 1u << 0,        // AVX2, FMA and F16C together
  kCpuAvx512 = 1u << 1,      // F, BW, DQ, VL
  kCpuAvx512Vnni = 1u << 2,
  kCpuAvx512Bf16 = 1u << 3,
  kCpuNeon = 1u << 4,
  kCpuNeonDot = 1u << 5,
};

// Bits of CpuFeature. Includes the check that the operating system saves the wide registers.
uint32_t cpu_features();

// "avx2 avx512 avx512_vnni avx512_bf16"
std::string cpu_feature_names(uint32_t features);

// "AMD EPYC ..." from /proc/cpuinfo, or "unknown".
std::string cpu_model_name();

}  // namespace tessera

#endif  // TESSERA_BASE_CPU_FEATURES_H_
