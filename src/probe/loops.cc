#include "probe/loops.h"

#include "base/cpu_features.h"

namespace tessera {
namespace {

constexpr PeakLoop kPeakLoops[] = {
    {"portable", PeakType::kF32, 0, peak_f32_generic},
#if defined(__x86_64__)
    {"vfmadd ymm", PeakType::kF32, kCpuAvx2, peak_f32_avx2},
    {"vfmadd zmm", PeakType::kF32, kCpuAvx512, peak_f32_avx512},
    {"vdpbf16ps zmm", PeakType::kBF16, kCpuAvx512 | kCpuAvx512Bf16, peak_bf16_avx512},
    {"vpmaddubsw+vpmaddwd ymm", PeakType::kI8, kCpuAvx2, peak_i8_avx2},
    {"vpdpbusd ymm", PeakType::kI8, kCpuAvx512 | kCpuAvx512Vnni, peak_i8_ymm_avx512},
    {"vpdpbusd zmm", PeakType::kI8, kCpuAvx512 | kCpuAvx512Vnni, peak_i8_avx512},
#elif defined(__aarch64__)
    {"fmla 4s", PeakType::kF32, kCpuNeon, peak_f32_neon},
    {"sdot 4s", PeakType::kI8, kCpuNeon | kCpuNeonDot, peak_i8_neon_dot},
#endif
};

}  // namespace

std::span<const PeakLoop> all_peak_loops() { return kPeakLoops; }

ReadLoop best_read_loop(uint32_t features) {
#if defined(__x86_64__)
  if (features & kCpuAvx512) return read_avx512;
  if (features & kCpuAvx2) return read_avx2;
#elif defined(__aarch64__)
  if (features & kCpuNeon) return read_neon;
#endif
  (void)features;
  return read_generic;
}

}  // namespace tessera
