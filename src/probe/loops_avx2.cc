// AVX2 loops. Enough independent accumulators to cover latency times ports (4 x 2), few enough for 16 registers.
#include <immintrin.h>

#include "probe/loops.h"

namespace tessera {

double peak_f32_avx2(int64_t iterations) {
  constexpr int kAccumulators = 12;
  __m256 acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(1e-3f), b = _mm256_set1_ps(1e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm256_fmadd_ps(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "x"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 8 * 2;
}

// Without VNNI an int8 dot product is a multiply-add of pairs, one of pairs of pairs, and an add.
double peak_i8_avx2(int64_t iterations) {
  constexpr int kAccumulators = 12;
  __m256i acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kAccumulators; ++k) {
      asm volatile("" : "+x"(a));  // the product must not be computed once for all accumulators
      acc[k] = _mm256_add_epi32(acc[k], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "x"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 32 * 2;
}

void read_avx2(const std::byte* data, uint64_t bytes) {
  __m256i acc[8];
  for (int k = 0; k < 8; ++k) acc[k] = _mm256_setzero_si256();
  for (uint64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      acc[k] = _mm256_or_si256(acc[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + i + k * 32)));
    }
  }
  for (int k = 0; k < 8; ++k) asm volatile("" : : "x"(acc[k]));
}

}  // namespace tessera
