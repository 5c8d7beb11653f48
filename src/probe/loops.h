// The measuring loops: multiply-add at full rate from registers, and reading memory at full rate, one version per
// instruction set. Files loops_<isa>.cc are compiled with that set's flags and export only the functions listed below.
#ifndef TESSERA_PROBE_LOOPS_H_
#define TESSERA_PROBE_LOOPS_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

enum class PeakType { kF32, kBF16, kI8 };

struct PeakLoop {
  const char* instruction;  // "vpdpbusd zmm"
  PeakType type;
  uint32_t features;                       // bits of CpuFeature
  double (*run)(int64_t iterations);       // returns operations done (a multiply-add is 2)
};

using ReadLoop = void (*)(const std::byte* data, uint64_t bytes);  // bytes: a multiple of 1024

// All that this build has, narrow to wide; the caller compares `features` with cpu_features().
std::span<const PeakLoop> all_peak_loops();
ReadLoop best_read_loop(uint32_t features);

double peak_f32_generic(int64_t iterations);
void read_generic(const std::byte* data, uint64_t bytes);

double peak_f32_avx2(int64_t iterations);
double peak_i8_avx2(int64_t iterations);
void read_avx2(const std::byte* data, uint64_t bytes);

double peak_f32_avx512(int64_t iterations);
double peak_bf16_avx512(int64_t iterations);
double peak_i8_avx512(int64_t iterations);
double peak_i8_ymm_avx512(int64_t iterations);
void read_avx512(const std::byte* data, uint64_t bytes);

double peak_f32_neon(int64_t iterations);
void read_neon(const std::byte* data, uint64_t bytes);
double peak_i8_neon_dot(int64_t iterations);

}  // namespace tessera

#endif  // TESSERA_PROBE_LOOPS_H_
