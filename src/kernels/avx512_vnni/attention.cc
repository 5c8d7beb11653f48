// Attention over q8_0 pages with vpdpbusd: four 8-bit multiply-adds per lane and instruction, exact integer sums. The other
// operand has 8 bits too: queries relative to the largest of their head, softmax weights (times the values' scales) relative to
// the largest of their row in a page. A second plane of 8 bits for either makes up for its rounding and costs its
// products again; loss and speed of both: docs/performance-attention.md.
#include "kernels/avx512/attention_isa.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

// Row: bytes (depth rounded up to 16), then RowTail.
struct RowTail {
  float scale;
  int32_t start;  // first value of the sums: undoes the + 128 of the keys
};

TESSERA_INLINE __mmask16 used_lanes(int64_t left) {
  return static_cast<__mmask16>(left >= 16 ? 0xffff : left <= 0 ? 0 : (1u << left) - 1);
}

// Signed bytes of a query.
struct QueryRows {
  TESSERA_INLINE void prepare(const float* x, float factor, const float*, int64_t depth, void* row) {
    char* out = static_cast<char*>(row);
    const int64_t padded = pad_to(depth, 16);
    __m512 top = _mm512_setzero_ps();
    for (int64_t d = 0; d < padded; d += 16) {
      top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(used_lanes(depth - d), x + d)));
    }
    const float largest = _mm512_reduce_max_ps(top);
    const __m512 inverse = _mm512_set1_ps(largest > 1e-30f ? 127.0f / largest : 0.0f);
    __m512i sum = _mm512_setzero_si512();
    for (int64_t d = 0; d < padded; d += 16) {
      const __m512 v = _mm512_maskz_loadu_ps(used_lanes(depth - d), x + d);
      const __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + d), _mm512_cvtepi32_epi8(n));
      sum = _mm512_add_epi32(sum, n);
    }
    const RowTail tail{largest * factor * (1.0f / 127), -128 * _mm512_reduce_add_epi32(sum)};
    memcpy(out + padded, &tail, sizeof(tail));
  }
};

// Unsigned bytes of the softmax weights times the values' scales. All 64 tokens: the unseen ones have weight 0.
struct WeightRows {
  TESSERA_INLINE void prepare(const float* x, float, const float* scales, int64_t depth, void* row) {
    char* out = static_cast<char*>(row);
    __m512 w[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __mmask16 used = used_lanes(depth - i * 16);
      w[i] = _mm512_mul_ps(_mm512_maskz_loadu_ps(used, x + i * 16), _mm512_maskz_loadu_ps(used, scales + i * 16));
    }
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(w[0], w[1]), _mm512_max_ps(w[2], w[3])));
    const __m512 inverse = _mm512_set1_ps(largest > 1e-30f ? 255.0f / largest : 0.0f);
    __m512i n[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) n[i] = _mm512_cvtps_epi32(_mm512_mul_ps(w[i], inverse));
    // Packing interleaves the 128-bit lanes of its operands; one permutation puts the tokens back in order.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_packus_epi16(_mm512_packus_epi32(n[0], n[1]), _mm512_packus_epi32(n[2], n[3]));
    _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, bytes));
    const RowTail tail{largest * (1.0f / 255), 0};
    memcpy(out + pad_to(depth, 16), &tail, sizeof(tail));
  }
};

// kSigned: rows are signed, lanes (keys) unsigned, + 128. Otherwise rows are unsigned and lanes (values) signed.
template <bool kSigned, class Rows>
struct ProductVnni : Rows {
  static constexpr int kGroup = 4, kBytes = 1;
  static constexpr bool kScaled = true, kPlainRows = false, kStartsAtZero = true;

  template <int R, int NV>
  TESSERA_INLINE void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                               __m512 (&acc)[R][NV], Ahead& ahead) {
    const char* tails = a + pad_to(depth, 16);
    __m512i sum[R][NV];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      RowTail tail;
      memcpy(&tail, tails + r * a_stride, sizeof(tail));
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) sum[r][v] = _mm512_set1_epi32(tail.start);
    }
    for (int64_t d = 0; d < depth; d += 4, b += b_stride) {
      ahead.step<NV>();
      __m512i x[NV];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) x[v] = _mm512_loadu_si512(b + v * 64);
      const char* row = a + d;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r, row = next_row(row, a_stride)) {
        int four;
        memcpy(&four, row, sizeof(four));
        const __m512i w = _mm512_set1_epi32(four);
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
          sum[r][v] = kSigned ? _mm512_dpbusd_epi32(sum[r][v], x[v], w) : _mm512_dpbusd_epi32(sum[r][v], w, x[v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      float scale;
      memcpy(&scale, tails + r * a_stride, sizeof(scale));
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) acc[r][v] = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][v]), _mm512_set1_ps(scale));
    }
  }
};

using Keys = ProductVnni<true, QueryRows>;
using Values = ProductVnni<false, WeightRows>;

}  // namespace

namespace avx512_vnni {
void apply(AttentionKernels& table) { apply_products<Avx512, kKvQ8, Keys, Values>(table); }
}  // namespace avx512_vnni

}  // namespace tessera
