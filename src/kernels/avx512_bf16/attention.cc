// Attention over bf16 pages with vdpbf16ps: two multiply-adds per lane and instruction, f32 sums. Queries and weights are
// rounded to bf16, as the keys and values are. The instruction adds the pair's products in a fixed order, treats
// subnormal numbers as zero and ignores the rounding mode, so tiles do not change the bits here either.
#include "kernels/avx512/attention_isa.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

struct ProductDpBf16 {
  static constexpr int kGroup = 2, kBytes = 2;
  static constexpr bool kScaled = false, kStartsAtZero = false;

  // Row: depth bf16 numbers, zero-padded to a multiple of 16.
  TESSERA_INLINE void prepare(const float* x, float factor, int64_t depth, void* row) {
    char* out = static_cast<char*>(row);
    for (int64_t d = 0; d < depth; d += 16) {
      const __mmask16 used = static_cast<__mmask16>(depth - d >= 16 ? 0xffff : (1u << (depth - d)) - 1);
      const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(used, x + d), _mm512_set1_ps(factor));
      const __m256bh half = _mm512_cvtneps_pbh(v);
      memcpy(out + d * 2, &half, sizeof(half));
    }
  }

  // The 64 weights of a page as bf16.
  struct Weights {
    static constexpr bool kOfPage = false;
    static constexpr int kDegree = 3;
    Weights(const void*, int64_t) {}

    __attribute__((always_inline)) void write(const PageRow<Avx512>& p, float, void* row) const {
      store(row, _mm512_cvtne2ps_pbh(p[1], p[0]));
      store(static_cast<char*>(row) + 64, _mm512_cvtne2ps_pbh(p[3], p[2]));
    }
    TESSERA_INLINE void store(void* to, __m512bh x) {
      __m512i bits;
      memcpy(&bits, &x, sizeof(bits));
      _mm512_storeu_si512(to, bits);
    }
  };

  TESSERA_INLINE __m512bh as_bf16(__m512i x) {
    __m512bh y;
    memcpy(&y, &x, sizeof(y));
    return y;
  }

  template <int R, int NV>
  TESSERA_INLINE void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                               __m512 (&acc)[R][NV], Ahead& ahead) {
    const int64_t pairs = depth / 2;
    for (int64_t d = 0; d < pairs; ++d) {
      ahead.step<NV>();
      step<R, NV>(a + d * 4, a_stride, b + d * b_stride, 0xffffffff, acc);
    }
    // The partner of an odd last element may be garbage.
    if (depth % 2 != 0) step<R, NV>(a + pairs * 4, a_stride, b + pairs * b_stride, 0x55555555, acc);
  }

  template <int R, int NV>
  TESSERA_INLINE void step(const char* a, int64_t a_stride, const char* b, __mmask32 used, __m512 (&acc)[R][NV]) {
    __m512bh x[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const __m512i pairs = _mm512_loadu_si512(b + v * 64);
      x[v] = as_bf16(used == 0xffffffff ? pairs : _mm512_maskz_mov_epi16(used, pairs));
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r, a = next_row(a, a_stride)) {
      int pair;
      memcpy(&pair, a, sizeof(pair));
      const __m512bh q = as_bf16(_mm512_set1_epi32(pair));
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], q, x[v]);
    }
  }
};

}  // namespace

namespace avx512_bf16 {
void apply(AttentionKernels& table) { apply_products<Avx512, kKvBf16, ProductDpBf16, ProductDpBf16>(table); }
}  // namespace avx512_bf16

}  // namespace tessera
