// int8 dot product instructions of ARMv8.2.
#include <arm_neon.h>

#include "probe/loops.h"

namespace tessera {

double peak_i8_neon_dot(int64_t iterations) {
  constexpr int kAccumulators = 16;
  int32x4_t acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = vdupq_n_s32(0);
  const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-2);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kAccumulators; ++k) acc[k] = vdotq_s32(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "w"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 16 * 2;
}

}  // namespace tessera
