// Attention over q8_0 pages with vpdpbusd: four 8-bit multiply-adds per lane and instruction, exact integer sums. The other
// operand (query or softmax weight) has 16 bits, as two planes of 8: value = (256 * high + low) * scale. Twice the
// instructions of an 8-bit operand, still a quarter of the f32 ones, and the error of the keys and values stays the only
// one that counts.
#include "kernels/avx512/attention_isa.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

// Row: high bytes, low bytes (depth rounded up to 16 each), then RowTail.
struct RowTail {
  float scale;
  int32_t high_start;  // first values of the sums: they undo the + 128 of the keys
  int32_t low_start;
};

// kSigned: queries (signed) against keys (unsigned, + 128). Otherwise weights (unsigned, >= 0) against values (signed).
template <bool kSigned>
struct ProductVnni {
  static constexpr int kGroup = 4, kBytes = 1;
  static constexpr bool kScaled = true, kPlainRows = false;

  TESSERA_INLINE void prepare(const float* x, float factor, const float* scales, int64_t depth, void* row) {
    if constexpr (kSigned) {
      prepare_query(x, factor, depth, static_cast<char*>(row));
    } else {
      prepare_weights(x, scales, depth, static_cast<char*>(row));
    }
  }

  TESSERA_INLINE void prepare_query(const float* x, float factor, int64_t depth, char* high) {
    constexpr float kLargest = 32512.0f;  // 127 * 256: the high plane stays in range when the low one rounds up
    const int64_t padded = pad_to(depth, 16);
    char* low = high + padded;
    __m512 top = _mm512_setzero_ps();
    for (int64_t d = 0; d < padded; d += 16) {
      top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(used_lanes(depth - d), x + d)));
    }
    const float largest = _mm512_reduce_max_ps(top);
    const __m512 inverse = _mm512_set1_ps(largest > 1e-30f ? kLargest / largest : 0.0f);
    __m512i high_sum = _mm512_setzero_si512(), low_sum = high_sum;
    for (int64_t d = 0; d < padded; d += 16) {
      const __m512 v = _mm512_maskz_loadu_ps(used_lanes(depth - d), x + d);
      const __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
      const __m512i h = _mm512_srai_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(128)), 8);
      const __m512i l = _mm512_sub_epi32(n, _mm512_slli_epi32(h, 8));  // in [-128, 127]
      _mm_storeu_si128(reinterpret_cast<__m128i*>(high + d), _mm512_cvtepi32_epi8(h));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(low + d), _mm512_cvtepi32_epi8(l));
      high_sum = _mm512_add_epi32(high_sum, h);
      low_sum = _mm512_add_epi32(low_sum, l);
    }
    const RowTail tail{largest * factor * (1.0f / kLargest), -128 * _mm512_reduce_add_epi32(high_sum),
                       -128 * _mm512_reduce_add_epi32(low_sum)};
    memcpy(high + 2 * padded, &tail, sizeof(tail));
  }

  // Scaled to the largest weight of the row in this page. All 64 tokens: the unseen ones have weight 0.
  TESSERA_INLINE void prepare_weights(const float* x, const float* scales, int64_t depth, char* high) {
    constexpr float kLargest = 65280.0f;  // 255 * 256
    __m512 w[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __mmask16 used = used_lanes(depth - i * 16);
      w[i] = _mm512_mul_ps(_mm512_maskz_loadu_ps(used, x + i * 16), _mm512_maskz_loadu_ps(used, scales + i * 16));
    }
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(w[0], w[1]), _mm512_max_ps(w[2], w[3])));
    const __m512 inverse = _mm512_set1_ps(largest > 1e-30f ? kLargest / largest : 0.0f);
    __m512i n[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) n[i] = _mm512_cvtps_epi32(_mm512_mul_ps(w[i], inverse));
    // Packing interleaves the 128-bit lanes of its operands; one permutation puts the tokens back in order.
    const __m512i first = _mm512_packus_epi32(n[0], n[1]), second = _mm512_packus_epi32(n[2], n[3]);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i h = _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
    const __m512i byte = _mm512_set1_epi16(0xff);
    const __m512i l = _mm512_packus_epi16(_mm512_and_si512(first, byte), _mm512_and_si512(second, byte));
    const int64_t padded = pad_to(depth, 16);
    _mm512_storeu_si512(high, _mm512_permutexvar_epi32(order, h));
    _mm512_storeu_si512(high + padded, _mm512_permutexvar_epi32(order, l));
    const RowTail tail{largest * (1.0f / kLargest), 0, 0};
    memcpy(high + 2 * padded, &tail, sizeof(tail));
  }

  TESSERA_INLINE __mmask16 used_lanes(int64_t left) {
    return static_cast<__mmask16>(left >= 16 ? 0xffff : left <= 0 ? 0 : (1u << left) - 1);
  }

  template <int R, int NV>
  TESSERA_INLINE void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                               __m512 (&acc)[R][NV], Ahead& ahead) {
    // Both planes of eight rows do not fit in the registers: four rows at a time.
    constexpr int kRows = R > 4 ? 4 : R;
    multiply_rows<R, NV, 0, kRows>(a, a_stride, b, b_stride, depth, acc, ahead);
    Ahead none{b, 0, nullptr};
    if constexpr (R > kRows) multiply_rows<R, NV, kRows, R>(a, a_stride, b, b_stride, depth, acc, none);
  }

  template <int R, int NV, int kFirst, int kLast>
  TESSERA_INLINE void multiply_rows(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                                    __m512 (&acc)[R][NV], Ahead& ahead) {
    constexpr int kRows = kLast - kFirst;
    const int64_t padded = pad_to(depth, 16);
    RowTail tail[kRows];
    __m512i high[kRows][NV], low[kRows][NV];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      memcpy(&tail[r], a + (kFirst + r) * a_stride + 2 * padded, sizeof(RowTail));
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        high[r][v] = _mm512_set1_epi32(tail[r].high_start);
        low[r][v] = _mm512_set1_epi32(tail[r].low_start);
      }
    }
    for (int64_t d = 0; d < depth; d += 4, b += b_stride) {
      ahead.step<NV>();
      __m512i x[NV];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) x[v] = _mm512_loadu_si512(b + v * 64);
      const char* row = a + kFirst * a_stride + d;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r, row = next_row(row, a_stride)) {
        const __m512i h = broadcast(row), l = broadcast(row + padded);
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
          high[r][v] = kSigned ? _mm512_dpbusd_epi32(high[r][v], x[v], h) : _mm512_dpbusd_epi32(high[r][v], h, x[v]);
          low[r][v] = kSigned ? _mm512_dpbusd_epi32(low[r][v], x[v], l) : _mm512_dpbusd_epi32(low[r][v], l, x[v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        const __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[r][v]), _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(low[r][v]));
        acc[kFirst + r][v] = _mm512_fmadd_ps(sum, _mm512_set1_ps(tail[r].scale), acc[kFirst + r][v]);
      }
    }
  }

  TESSERA_INLINE __m512i broadcast(const char* p) {
    int word;
    memcpy(&word, p, sizeof(word));
    return _mm512_set1_epi32(word);
  }
};

}  // namespace

namespace avx512_vnni {
void apply(AttentionKernels& table) { apply_products<Avx512, kKvQ8, ProductVnni<true>, ProductVnni<false>>(table); }
}  // namespace avx512_vnni

}  // namespace tessera
