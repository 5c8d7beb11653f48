// Attention over q8_0 and f16 pages with integer products: exact sums, four (vpdpbusd, q8_0) or two (vpdpwssd, f16)
// multiply-adds per lane and instruction.
//   q8_0: the other operand has 8 bits too: queries relative to the largest of their head, softmax weights (times the values'
// scales) to about the largest of their row in a page. A second plane of 8 bits for either makes up for its rounding and
// costs its products again.
//   f16: the pages' numbers stand at a known place (EncodeF16), so adding a constant turns them into fixed point
// (keys 15 bits, values 14); queries and weights get the bits that the sum of products leaves.
// Loss and speed of all of it: docs/performance-attention.md.
#include "kernels/avx512/attention_isa.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

// Row: integers (depth rounded up to 16), then RowTail.
struct RowTail {
  float scale;
  int32_t start;  // first value of the sums: undoes the + 128 of q8_0 keys
};

TESSERA_INLINE __mmask16 used_lanes(int64_t left) {
  return static_cast<__mmask16>(left >= 16 ? 0xffff : left <= 0 ? 0 : (1u << left) - 1);
}

// Signed bytes of a query.
struct QueryBytes {
  TESSERA_INLINE void prepare(const float* x, float factor, int64_t depth, void* row) {
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

// Weights of integer products: p times its token's scale. The integers want a bound of that, and finding a row's largest would
// be a long chain of instructions more. So the maximum of scores is taken with a bound of each scale's logarithm added: then
// p times scale is at most 1 but for its rounding, and a row's largest at least 0.94, unless its scales are below 2^-64: no
// scale counts as less, so that sums of p stay far from infinity. In turn, of pages whose scales differ by more than 2^126
// those with the smaller ones are dropped.
template <bool kPowersOf2>
struct IntegerWeights {
  static constexpr bool kOfPage = true;
  alignas(64) float scales[kKvPageTokens];
  alignas(64) float log_bounds[kKvPageTokens];
  int64_t padded;  // tokens, to where the tail stands

  __attribute__((always_inline)) IntegerWeights(const void* block, int64_t tokens) : padded(pad_to(tokens, 16)) {
    // The bits of a float, times 2^-23, are its binary logarithm + 127, less 0 to 0.0861 between powers of two (Mitchell 1962).
    const __m512 offset = _mm512_set1_ps((kPowersOf2 ? 0.0f : 0.0861f) - 127.0f), lowest = _mm512_set1_ps(-64.0f);
#pragma GCC unroll 4
    for (int i = 0; i < kKvPageTokens; i += 16) {
      const __mmask16 used = used_lanes(tokens - i);  // the block may hold garbage behind
      const __m512 scale = _mm512_maskz_loadu_ps(used, static_cast<const float*>(block) + i);
      const __m512 bits = _mm512_cvtepi32_ps(_mm512_castps_si512(scale));
      _mm512_store_ps(scales + i, scale);
      _mm512_store_ps(log_bounds + i, _mm512_max_ps(_mm512_fmadd_ps(bits, _mm512_set1_ps(0x1p-23f), offset), lowest));
    }
  }

  __attribute__((always_inline)) __m512 scaled(const PageRow<Avx512>& p, int i) const {
    return _mm512_mul_ps(p[i], _mm512_load_ps(scales + i * 16));
  }
};

// Unsigned bytes, in units of 1/255.
struct WeightBytes : IntegerWeights<false> {
  static constexpr int kDegree = 3;
  using IntegerWeights::IntegerWeights;

  __attribute__((always_inline)) void write(const PageRow<Avx512>& p, float factor, void* row) const {
    __m512i n[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) n[i] = _mm512_cvtps_epi32(_mm512_mul_ps(scaled(p, i), _mm512_set1_ps(255.0f)));
    // Packing saturates what rounding brought above 255, and interleaves the 128-bit lanes of its operands; one permutation
    // puts the tokens back in order.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_packus_epi16(_mm512_packus_epi32(n[0], n[1]), _mm512_packus_epi32(n[2], n[3]));
    char* out = static_cast<char*>(row);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, bytes));
    const RowTail tail{factor * (1.0f / 255), 0};
    memcpy(out + padded, &tail, sizeof(tail));
  }
};

// Codes: how a vector of a page's words becomes integers, and their product with a row's. The products are in assembly because
// GCC 12 moves the intrinsics about: 3 % slower for bytes, 10 to 25 % for halves.

// Keys are unsigned, + 128, and queries signed; values are signed and weights unsigned.
template <bool kKeys>
struct Bytes {
  static constexpr int kGroup = 4, kBytes = 1;
  TESSERA_INLINE __m512i lanes(__m512i words) { return words; }
  TESSERA_INLINE __m512i multiply_add(__m512i sum, __m512i lanes, __m512i row) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(kKeys ? lanes : row), "v"(kKeys ? row : lanes));
    return sum;
  }
};

// Fixed point of an f16 page: units of 1 for keys, whose length is below 2^15; of 2 for values, which are below 2^15 each.
template <bool kKeys>
struct Halves {
  static constexpr int kGroup = 2, kBytes = 2;
  static constexpr float kUnit = kKeys ? 1.0f : 2.0f;

  // Adding 1.5 * 2^23 units rounds to nearest even into the low mantissa bits. ElementF16 yields numbers times 2^-112.
  TESSERA_INLINE __m512i lanes(__m512i words) {
    const __m512 rounder = _mm512_set1_ps(1.5f * 0x1p-89f * kUnit);
    const __m512i even = _mm512_castps_si512(_mm512_add_ps(ElementF16::get<Avx512>(words, 0), rounder));
    const __m512i odd = _mm512_castps_si512(_mm512_add_ps(ElementF16::get<Avx512>(words, 1), rounder));
    return _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16));
  }
  TESSERA_INLINE __m512i multiply_add(__m512i sum, __m512i lanes, __m512i row) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(lanes), "v"(row));
    return sum;
  }
};

// 16-bit integers of a query. Sums of products with a key stay within 32 bits: the query's length is at most 65000
// (Cauchy-Schwarz).
struct QueryHalves {
  TESSERA_INLINE void prepare(const float* x, float factor, int64_t depth, void* row) {
    char* out = static_cast<char*>(row);
    const int64_t padded = pad_to(depth, 16);
    __m512 top = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (int64_t d = 0; d < padded; d += 16) {
      const __m512 v = _mm512_maskz_loadu_ps(used_lanes(depth - d), x + d);
      top = _mm512_max_ps(top, _mm512_abs_ps(v));
      squares = _mm512_fmadd_ps(v, v, squares);
    }
    const float by_length = __builtin_sqrtf(_mm512_reduce_add_ps(squares)) * (1.0f / 65000);
    const float by_top = _mm512_reduce_max_ps(top) * (1.0f / 32767);
    const float unit = by_top > by_length ? by_top : by_length;
    const __m512 inverse = _mm512_set1_ps(unit > 1e-35f ? 1.0f / unit : 0.0f);
    for (int64_t d = 0; d < padded; d += 16) {
      const __m512 v = _mm512_maskz_loadu_ps(used_lanes(depth - d), x + d);
      const __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + d * 2), _mm512_cvtepi32_epi16(n));
    }
    const RowTail tail{unit * Halves<true>::kUnit * factor, 0};
    memcpy(out + padded * 2, &tail, sizeof(tail));
  }
};

// 16-bit integers, in units that keep sums of products with values within 32 bits: a row's sum is at most 2^17 - 2^9, before
// rounding, and no weight above 32767.
struct WeightHalves : IntegerWeights<true> {
  static constexpr int kDegree = 4;
  using IntegerWeights::IntegerWeights;

  __attribute__((always_inline)) void write(const PageRow<Avx512>& p, float factor, void* row) const {
    const __m512 w[4] = {scaled(p, 0), scaled(p, 1), scaled(p, 2), scaled(p, 3)};
    const __m512 total = _mm512_add_ps(_mm512_add_ps(w[0], w[1]), _mm512_add_ps(w[2], w[3]));
    const float by_sum = _mm512_reduce_add_ps(total) * (1.0f / (0x1p17f - 0x1p9f));
    const float unit = by_sum > 1.0f / 32767 ? by_sum : 1.0f / 32767;
    const __m512 inverse = _mm512_set1_ps(1.0f / unit);
    __m512i n[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) n[i] = _mm512_cvtps_epi32(_mm512_mul_ps(w[i], inverse));
    // As in WeightBytes.
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    char* out = static_cast<char*>(row);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi64(order, _mm512_packs_epi32(n[0], n[1])));
    _mm512_storeu_si512(out + 64, _mm512_permutexvar_epi64(order, _mm512_packs_epi32(n[2], n[3])));
    const RowTail tail{unit * Halves<false>::kUnit * factor, 0};
    memcpy(out + padded * 2, &tail, sizeof(tail));
  }
};

template <class Codes>
struct IntegerProduct {
  static constexpr int kGroup = Codes::kGroup, kBytes = Codes::kBytes;
  static constexpr bool kScaled = true, kStartsAtZero = true;

  template <int R, int NV>
  TESSERA_INLINE void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride, int64_t depth,
                               __m512 (&acc)[R][NV], Ahead& ahead) {
    const char* tails = a + pad_to(depth, 16) * kBytes;
    __m512i sum[R][NV];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      RowTail tail;
      memcpy(&tail, tails + r * a_stride, sizeof(tail));
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) sum[r][v] = _mm512_set1_epi32(tail.start);
    }
    for (int64_t d = 0; d < depth; d += kGroup, b += b_stride) {
      ahead.step<NV>();
      __m512i x[NV];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) x[v] = Codes::lanes(_mm512_loadu_si512(b + v * 64));
      const char* row = a + d * kBytes;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r, row = next_row(row, a_stride)) {
        int word;
        memcpy(&word, row, sizeof(word));
        const __m512i w = _mm512_set1_epi32(word);
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) sum[r][v] = Codes::multiply_add(sum[r][v], x[v], w);
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

struct HalfKeys : IntegerProduct<Halves<true>>, QueryHalves {};
struct ByteKeys : IntegerProduct<Bytes<true>>, QueryBytes {};
struct HalfValues : IntegerProduct<Halves<false>> {
  using Weights = WeightHalves;
};
struct ByteValues : IntegerProduct<Bytes<false>> {
  using Weights = WeightBytes;
};

}  // namespace

namespace avx512_vnni {
void apply(AttentionKernels& table) {
  apply_products<Avx512, kKvF16, HalfKeys, HalfValues>(table);
  apply_products<Avx512, kKvQ8, ByteKeys, ByteValues>(table);
}
}  // namespace avx512_vnni

}  // namespace tessera
