// Vector operations of the AVX-512 layers for attention_body.h: vectors of sixteen f32, blocks of eight rows
// (16 accumulators of 32 registers). Internal linkage: included by each AVX-512 layer's attention.cc.
#ifndef TESSERA_KERNELS_AVX512_ATTENTION_ISA_H_
#define TESSERA_KERNELS_AVX512_ATTENTION_ISA_H_

#include <immintrin.h>

#include "kernels/attention_body.h"

namespace tessera {
namespace {

struct Avx512 {
  using F = __m512;
  using N = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kRowBlock = 8;
  static constexpr bool kFloorScaling = true;
  static constexpr float kExp2Floor = -200.0f;  // scale_by_power_of_2 makes 2^-200 zero

  TESSERA_INLINE F zero() { return _mm512_setzero_ps(); }
  TESSERA_INLINE F set1(float x) { return _mm512_set1_ps(x); }
  TESSERA_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  TESSERA_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  TESSERA_INLINE N load_words(const void* p) { return _mm512_loadu_si512(p); }
  TESSERA_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  TESSERA_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  TESSERA_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  TESSERA_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  TESSERA_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  TESSERA_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  TESSERA_INLINE F abs(F x) { return _mm512_andnot_ps(set1(-0.0f), x); }
  TESSERA_INLINE F copy_sign(F x, F sign) { return _mm512_or_ps(x, _mm512_and_ps(set1(-0.0f), sign)); }
  TESSERA_INLINE F round(F x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  TESSERA_INLINE F scale_by_power_of_2(F x, F n) { return _mm512_scalef_ps(x, n); }  // rounds n down
  TESSERA_INLINE F fraction(F x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }  // 0 of -inf
  TESSERA_INLINE F select_lanes(int begin, int end, F x, F other) {
    const N lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __mmask16 shown = _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(begin)) &
                            _mm512_cmplt_epi32_mask(lane, _mm512_set1_epi32(end));
    return _mm512_mask_blend_ps(shown, other, x);
  }
  TESSERA_INLINE F as_float(N x) { return _mm512_castsi512_ps(x); }
  TESSERA_INLINE F to_float(N x) { return _mm512_cvtepi32_ps(x); }
  TESSERA_INLINE N shift_left(N x, int bits) { return _mm512_slli_epi32(x, static_cast<unsigned>(bits)); }
  TESSERA_INLINE N shift_right_signed(N x, int bits) { return _mm512_srai_epi32(x, static_cast<unsigned>(bits)); }
  TESSERA_INLINE N bit_and(N x, uint32_t mask) { return _mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(mask))); }
  TESSERA_INLINE N bit_xor(N x, uint32_t mask) { return _mm512_xor_si512(x, _mm512_set1_epi32(static_cast<int>(mask))); }
  TESSERA_INLINE float reduce_max(F x) { return _mm512_reduce_max_ps(x); }
  TESSERA_INLINE uint16_t to_f16(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
};

}  // namespace
}  // namespace tessera

#endif  // TESSERA_KERNELS_AVX512_ATTENTION_ISA_H_
