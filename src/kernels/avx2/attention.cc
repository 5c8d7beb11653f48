// Attention kernels of the avx2 layer: vectors of eight f32, blocks of four rows (8 accumulators of 16 registers).
#include <immintrin.h>

#include "kernels/attention_body.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

struct Avx2 {
  using F = __m256;
  using N = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kRowBlock = 4;
  static constexpr bool kFloorScaling = false;
  static constexpr float kExp2Floor = -127.0f;  // scale_by_power_of_2 makes 2^-127 zero

  TESSERA_INLINE F zero() { return _mm256_setzero_ps(); }
  TESSERA_INLINE F set1(float x) { return _mm256_set1_ps(x); }
  TESSERA_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
  TESSERA_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  TESSERA_INLINE N load_words(const void* p) { return _mm256_loadu_si256(static_cast<const N*>(p)); }
  TESSERA_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  TESSERA_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  TESSERA_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
  TESSERA_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  TESSERA_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  TESSERA_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
  TESSERA_INLINE F abs(F x) { return _mm256_andnot_ps(set1(-0.0f), x); }
  TESSERA_INLINE F copy_sign(F x, F sign) { return _mm256_or_ps(x, _mm256_and_ps(set1(-0.0f), sign)); }
  TESSERA_INLINE F round(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  TESSERA_INLINE F scale_by_power_of_2(F x, F n) {
    const N exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }
  TESSERA_INLINE F select_lanes(int begin, int end, F x, F other) {
    const N lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const N hidden = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lane),
                                     _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(end - 1)));
    return _mm256_blendv_ps(x, other, _mm256_castsi256_ps(hidden));
  }
  TESSERA_INLINE F as_float(N x) { return _mm256_castsi256_ps(x); }
  TESSERA_INLINE F to_float(N x) { return _mm256_cvtepi32_ps(x); }
  TESSERA_INLINE N shift_left(N x, int bits) { return _mm256_slli_epi32(x, bits); }
  TESSERA_INLINE N shift_right_signed(N x, int bits) { return _mm256_srai_epi32(x, bits); }
  TESSERA_INLINE N bit_and(N x, uint32_t mask) { return _mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(mask))); }
  TESSERA_INLINE N bit_xor(N x, uint32_t mask) { return _mm256_xor_si256(x, _mm256_set1_epi32(static_cast<int>(mask))); }
  TESSERA_INLINE float reduce_max(F x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    y = _mm_max_ss(y, _mm_shuffle_ps(y, y, 1));
    return _mm_cvtss_f32(y);
  }
  TESSERA_INLINE uint16_t to_f16(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
};

}  // namespace

namespace avx2 {
void apply(AttentionKernels& table) { apply_all<Avx2>(table); }
}  // namespace avx2

}  // namespace tessera
