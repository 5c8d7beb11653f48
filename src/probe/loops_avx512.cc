// AVX-512 loops, with the VNNI and BF16 dot products. The caller asks cpu_features() for each one's own feature bit. 16
// accumulators: latency 4-5 times 2 ports with room to spare.
#include <immintrin.h>

#include "probe/loops.h"

namespace tessera {
namespace {

constexpr int kAccumulators = 16;

}  // namespace

double peak_f32_avx512(int64_t iterations) {
  __m512 acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(1e-3f), b = _mm512_set1_ps(1e-4f);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm512_fmadd_ps(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "v"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 16 * 2;
}

double peak_bf16_avx512(int64_t iterations) {
  __m512 acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm512_setzero_ps();
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-3f), _mm512_set1_ps(1e-3f));
  const __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-2f), _mm512_set1_ps(1e-2f));
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm512_dpbf16_ps(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "v"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 32 * 2;
}

double peak_i8_avx512(int64_t iterations) {
  __m512i acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm512_setzero_si512();
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm512_dpbusd_epi32(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "v"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 64 * 2;
}

double peak_i8_ymm_avx512(int64_t iterations) {
  __m256i acc[kAccumulators];
  for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm256_setzero_si256();
  const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kAccumulators; ++k) acc[k] = _mm256_dpbusd_epi32(acc[k], a, b);
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "v"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 32 * 2;
}

void read_avx512(const std::byte* data, uint64_t bytes) {
  __m512i acc[8];
  for (int k = 0; k < 8; ++k) acc[k] = _mm512_setzero_si512();
  for (uint64_t i = 0; i < bytes; i += 512) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) acc[k] = _mm512_or_si512(acc[k], _mm512_loadu_si512(data + i + k * 64));
  }
  for (int k = 0; k < 8; ++k) asm volatile("" : : "v"(acc[k]));
}

}  // namespace tessera
