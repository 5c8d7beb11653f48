// NEON loops: 16 accumulators cover latency 4 times up to 4 pipes.
#include <arm_neon.h>

#include "probe/loops.h"

namespace tessera {

double peak_f32_neon(int64_t iterations) {
  constexpr int kAccumulators = 16;
  float32x4_t acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = vdupq_n_f32(0);
  float32x4_t a = vdupq_n_f32(1e-3f), b = vdupq_n_f32(1e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kAccumulators; ++k) acc[k] = vfmaq_f32(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "w"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 4 * 2;
}

void read_neon(const std::byte* data, uint64_t bytes) {
  const auto* p = reinterpret_cast<const uint8_t*>(data);
  uint8x16_t acc[8];
  for (int k = 0; k < 8; ++k) acc[k] = vdupq_n_u8(0);
  for (uint64_t i = 0; i < bytes; i += 128) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) acc[k] = vorrq_u8(acc[k], vld1q_u8(p + i + k * 16));
  }
  for (int k = 0; k < 8; ++k) asm volatile("" : : "w"(acc[k]));
}

}  // namespace tessera
