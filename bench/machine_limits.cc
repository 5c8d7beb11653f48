#include "machine_limits.h"

#include <immintrin.h>

// Keeps the compiler from noticing that all accumulators hold the same number.
#define TESSERA_OPAQUE(v) asm volatile("" : "+v"(v))

namespace tessera::bench {

long read_bytes(const std::byte* data, size_t bytes) {
  __m512i sums[4] = {};
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    for (int j = 0; j < 4; ++j) sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(data + i + 64 * j));
  }
  return _mm512_reduce_add_epi64(
      _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3])));
}

float int8_loop(long iterations) {
  __m512i acc[16], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) acc[j] = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) TESSERA_OPAQUE(acc[j]);
  for (long i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) acc[j] = _mm512_dpbusd_epi32(acc[j], a, b);
  }
  __m512i sum = _mm512_setzero_si512();
  for (int j = 0; j < 16; ++j) sum = _mm512_add_epi32(sum, acc[j]);
  return static_cast<float>(_mm512_reduce_add_epi32(sum));
}

float bf16_loop(long iterations) {
  __m512 acc[16];
  const auto a = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) acc[j] = _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) TESSERA_OPAQUE(acc[j]);
  for (long i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) acc[j] = _mm512_dpbf16_ps(acc[j], a, a);
  }
  __m512 sum = _mm512_setzero_ps();
  for (int j = 0; j < 16; ++j) sum = _mm512_add_ps(sum, acc[j]);
  return _mm512_reduce_add_ps(sum);
}

float f32_loop(long iterations) {
  __m512 acc[16];
  const __m512 a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(0.5f);
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) acc[j] = _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) TESSERA_OPAQUE(acc[j]);
  for (long i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) acc[j] = _mm512_fmadd_ps(acc[j], b, a);
  }
  __m512 sum = _mm512_setzero_ps();
  for (int j = 0; j < 16; ++j) sum = _mm512_add_ps(sum, acc[j]);
  return _mm512_reduce_add_ps(sum);
}

}  // namespace tessera::bench
