// Matmul on AVX2 and FMA, without dot-product instructions: integer products by maddubs (u8 x s8 -> s16 pairs).
//
// The same panels and the same sums as every other layer. maddubs adds two products, at most 2 * code * 127; before the
// sums are widened to 32 bits (madd by ones), as many steps of 4 columns are added in 16 bits as cannot overflow: 8 for
// codes of 4 bits, 4 for 5 bits, 2 for 6 bits. Codes of 8 bits are two nibbles with a sum each, of 8 steps; madd by 1
// and by 16 puts them together. The offset of the codes is added to the 32-bit sum.
//
// A panel is walked once, group by group; inside a group it is cut into parts of R strips (8 rows) x T tokens whose
// sums fit the registers (at most 12 of 16). The float sums of the tile live in L1. Zen 4 reaches 80 % of the maddubs
// rate in a loop of products and additions alone; the whole tile 55 % with codes of 4 bits.
#include <immintrin.h>

#include "kernels/layers.h"
#include "kernels/matmul_common.h"
#include "kernels/matmul_kernels.h"

namespace tessera::avx2 {
namespace {

constexpr int kR = kPanelRows;

TESSERA_STATIC_INLINE __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
TESSERA_STATIC_INLINE __m128i load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
TESSERA_STATIC_INLINE __m256 load_f16(const uint8_t* p, int strip) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * strip)));
}
TESSERA_STATIC_INLINE __m256 signed_to_float(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }
TESSERA_STATIC_INLINE __m256 negate(__m256 v) { return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f)); }
TESSERA_STATIC_INLINE __m256i pair_up(__m128i a, __m128i b) { return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)); }

// A block's integer sum times its scale, added to the sum of its group: as integers where scales are, or as floats.
// `zero`: the sum so far, which is then not read. (Sums of integers begin with zeros.)
TESSERA_STATIC_INLINE __m256i add_scaled(__m256i sum, __m256i dot, __m256i scale, bool) {
  return _mm256_add_epi32(sum, _mm256_mullo_epi32(dot, scale));
}
TESSERA_STATIC_INLINE __m256 add_scaled(__m256 sum, __m256i dot, __m256 scale, bool zero) {
  const __m256 y = _mm256_cvtepi32_ps(dot);
  return zero ? _mm256_mul_ps(y, scale) : _mm256_fmadd_ps(y, scale, sum);
}
// With row_scale `scale` holds the block's 16-bit integers in the low halves of its lanes, zeros in the high ones, which the sign
// of a sum of 16 bits meets.
TESSERA_STATIC_INLINE __m256i add_row_scaled(__m256i sum, __m256i dot, __m256i scale) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(dot, scale));
}
template <BlockKind kind>
TESSERA_STATIC_INLINE auto zero_sum() {
  if constexpr (block_kind_info(kind).int_scales) {
    return _mm256_setzero_si256();
  } else {
    return _mm256_setzero_ps();
  }
}

// Steps of 4 columns whose products are added in 16 bits; 1: codes of 8 bits, nibble by nibble.
constexpr int steps_per_sum(int codec) {
  switch (codec) {
    case kPackedQ8_0: case kPackedIQ4_NL: case kPackedIQ4_XS: return 1;
    case kPackedQ6_K: return 2;                                            // codes to 63
    case kPackedQ5_0: case kPackedQ5_1: case kPackedQ5_K: case kPackedMXFP4: return 4;  // to 31
    default: return 8;                                                     // to 15
  }
}
// What a table's entries are below and above the nibble border.
struct Nibbles {
  uint8_t low[16], high[16];
};
constexpr Nibbles split_nibbles(const uint8_t (&table)[16]) {
  Nibbles n{};
  for (int i = 0; i < 16; ++i) {
    n.low[i] = table[i] & 0x0f;
    n.high[i] = static_cast<uint8_t>(table[i] >> 4);
  }
  return n;
}
constexpr Nibbles kIq4Nibbles = split_nibbles(kIq4Codes);
// UnpackedPanel::offset_shift of 5-bit codes without an offset; 4-bit ones have -1.
constexpr int kNoOffset5 = -2;

// Weights of a packed panel, 8 rows at a time (`strip`).
template <int codec>
struct Packed {
  static constexpr BlockLayout kLayout = block_layout(codec);
  static constexpr BlockKind kKind = kLayout.kind;
  static constexpr int kSum = steps_per_sum(codec);
  static constexpr int kShift = kLayout.offset_shift;
  static constexpr bool kStreams = true;
  const uint8_t* panel;
  const uint8_t* ahead = nullptr;
  int64_t ahead_bytes = 0;

  inline __attribute__((always_inline)) const uint8_t* group(int64_t b) const {
    return panel + kLayout.head_bytes() + b / kLayout.group_blocks * kLayout.group_bytes;
  }
  inline __attribute__((always_inline)) const uint8_t* block(int64_t b) const {
    return group(b) + kLayout.blocks_at + b % kLayout.group_blocks * kLayout.block_bytes;
  }

  // The hardware follows a stream whose lines are touched in ascending order, nudged by one request per 512 bytes (into
  // L2, 4 KiB ahead). Planes are not needed in that order and compilers reorder loads, so every line is touched by a
  // load of its own first. With several tiles of tokens each tile's pass fetches a share of the next panel instead.
  inline __attribute__((always_inline)) void prefetch(int64_t b) const {
    if (ahead != nullptr) {
      const auto* line = reinterpret_cast<const char*>(ahead + b * ahead_bytes);
      for (int64_t i = 0; i < ahead_bytes; i += 64) _mm_prefetch(line + i, _MM_HINT_T1);
      return;
    }
    constexpr int head = kLayout.blocks_at, bytes = kLayout.block_bytes;
    const uint8_t* at = block(b);
    if (kLayout.group_blocks == 1 || b % kLayout.group_blocks == 0) touch<head>(at - head);
    touch<bytes>(at);
    constexpr int average = kLayout.group_bytes / kLayout.group_blocks;
    const auto* line = reinterpret_cast<const char*>(panel + b * average + 4096);
#pragma GCC unroll 4
    for (int i = 0; i < average; i += 512) _mm_prefetch(line + i, _MM_HINT_T1);
  }
  template <int bytes>
  static inline __attribute__((always_inline)) void touch(const uint8_t* p) {
#pragma GCC unroll 20
    for (int i = 0; i < bytes; i += 64) {
      uint32_t word;
      asm volatile("movl %1, %0" : "=r"(word) : "m"(*(p + i)));
    }
  }

  // Both nibbles of codes of 8 bits.
  inline __attribute__((always_inline)) void nibbles(int64_t b, int step, int strip, __m256i& low,
                                                     __m256i& high) const {
    const __m256i mask = _mm256_set1_epi8(0x0f);
    if constexpr (codec == kPackedQ8_0) {
      const __m256i v = code(b, step, strip);
      low = _mm256_and_si256(v, mask);
      high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
    } else {
      const __m256i v = load(block(b) + 32 * strip + 128 * (step % 4));
      const __m256i index = _mm256_and_si256(step < 4 ? v : _mm256_srli_epi16(v, 4), mask);
      low = lookup(kIq4Nibbles.low, index);
      high = lookup(kIq4Nibbles.high, index);
    }
  }
  inline __attribute__((always_inline)) __m256i code(int64_t b, int step, int strip) const {
    const uint8_t* p = block(b) + 32 * strip;
    if constexpr (codec == kPackedQ8_0) return load(p + 128 * step);
    __m256i v = _mm256_setzero_si256();
    if constexpr (kLayout.nibbles_at >= 0) {
      v = load(p + kLayout.nibbles_at + 128 * (step % 4));
      v = _mm256_and_si256(step < 4 ? v : _mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
    }
    if constexpr (kLayout.pairs_at >= 0) {
      v = merge(v, shifted(load(p + kLayout.pairs_at + 128 * (step / 4)), kLayout.pairs_shift() - 2 * (step % 4)),
                3 << kLayout.pairs_shift());
    }
    if constexpr (kLayout.bits_at >= 0) {
      constexpr int position = kLayout.bits_shift();
      v = merge(v, shifted(load(p + kLayout.bits_at), position - step), 1 << position);
    }
    if constexpr (codec == kPackedIQ4_NL || codec == kPackedIQ4_XS) return lookup(kIq4Codes, v);
    if constexpr (codec == kPackedMXFP4) return lookup(kMxfp4Codes, v);
    return v;
  }

  // Of block b; with int_scales of its group; with row_scale of the row.
  inline __attribute__((always_inline)) __m256 scale(int64_t b, int strip) const {
    if constexpr (block_kind_info(kKind).row_scale) return _mm256_castsi256_ps(load(panel + 32 * strip));
    const uint8_t* g = group(b);
    if constexpr (codec == kPackedMXFP4) return e8m0_half(load8(g + 8 * strip));
    const __m256 d = load_f16(g, strip);
    if constexpr (codec == kPackedIQ4_XS) {
      return _mm256_mul_ps(d, signed_to_float(load8(g + (2 + b % kLayout.group_blocks) * kR + 8 * strip)));
    }
    return d;
  }
  inline __attribute__((always_inline)) __m256i int_scale(int64_t b, int half, int strip) const {
    if constexpr (block_kind_info(kKind).row_scale) {
      const __m256i pair = load(group(b / 2 * 2 + strip / 2) + strip % 2 * 32);
      return b % 2 == 0 ? _mm256_and_si256(pair, _mm256_set1_epi32(0xffff)) : _mm256_srli_epi32(pair, 16);
    }
    const uint8_t* rows = group(b) + 8 * strip;
    const int64_t i = b % kLayout.group_blocks;
    if constexpr (kKind == kScale32Min) return _mm256_cvtepu8_epi32(load8(rows + (4 + i) * kR));
    if constexpr (kKind == kScale16) return _mm256_cvtepi8_epi32(load8(rows + (2 + 2 * i + half) * kR));
    return _mm256_cvtepu8_epi32(_mm_and_si128(load8(rows + (4 + 2 * i + half) * kR), _mm_set1_epi8(0x0f)));
  }
  inline __attribute__((always_inline)) __m256 bias(int64_t b, int strip) const {
    return _mm256_mul_ps(load_f16(group(b) + 2 * kR, strip), _mm256_set1_ps(-1.0f / 128));
  }
  inline __attribute__((always_inline)) __m256 neg_d_min(int64_t b, int strip) const {
    return negate(load_f16(group(b) + 2 * kR, strip));
  }
  inline __attribute__((always_inline)) __m256i mins(int64_t b, int strip) const {
    const uint8_t* g = group(b) + 8 * strip;
    const int64_t i = b % kLayout.group_blocks;
    if constexpr (kKind == kScale32Min) return pair_up(load8(g + (12 + i) * kR), load8(g + (13 + i) * kR));
    const __m128i mask = _mm_set1_epi8(0x0f);
    return pair_up(_mm_and_si128(_mm_srli_epi16(load8(g + (4 + 2 * i) * kR), 4), mask),
                   _mm_and_si128(_mm_srli_epi16(load8(g + (5 + 2 * i) * kR), 4), mask));
  }

 private:
  static inline __attribute__((always_inline)) __m256i shifted(__m256i v, int left) {
    return left > 0 ? _mm256_slli_epi16(v, left) : left < 0 ? _mm256_srli_epi16(v, -left) : v;
  }
  static inline __attribute__((always_inline)) __m256i merge(__m256i v, __m256i bits, int mask) {
    return _mm256_or_si256(v, _mm256_and_si256(bits, _mm256_set1_epi8(static_cast<char>(mask))));
  }
  static inline __attribute__((always_inline)) __m256i lookup(const uint8_t* table, __m256i index) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index);
  }
  static inline __attribute__((always_inline)) __m256 e8m0_half(__m128i exponents) {
    const __m256i e = _mm256_cvtepu8_epi32(exponents);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i denormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, denormal, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
  }
};

template <BlockKind kind, int sum, int shift>
struct Unpacked {
  static constexpr BlockKind kKind = kind;
  static constexpr BlockKindInfo kInfo = block_kind_info(kind);
  static constexpr int kSum = sum;
  static constexpr int kShift = shift;
  static constexpr bool kStreams = false;
  const UnpackedPanel& w;
  const int8_t* next;  // activations to fetch into L1 meanwhile
  int64_t block_bytes;  // of them

  inline __attribute__((always_inline)) void prefetch(int64_t b) const {
    const auto* line = reinterpret_cast<const char*>(next + b * block_bytes);
    for (int64_t i = 0; i < block_bytes; i += 64) _mm_prefetch(line + i, _MM_HINT_T0);
  }
  inline __attribute__((always_inline)) void nibbles(int64_t b, int step, int strip, __m256i& low,
                                                     __m256i& high) const {
    const __m256i v = code(b, step, strip), mask = _mm256_set1_epi8(0x0f);
    low = _mm256_and_si256(v, mask);
    high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
  }
  inline __attribute__((always_inline)) __m256i code(int64_t b, int step, int strip) const {
    return load(w.codes + b * w.code_stride + 128 * step + 32 * strip);
  }
  inline __attribute__((always_inline)) __m256 scale(int64_t b, int strip) const {
    const int64_t of = kInfo.row_scale ? 0 : kInfo.int_scales ? b / kInfo.group_blocks : b;
    return _mm256_loadu_ps(w.scale + of * kR + 8 * strip);
  }
  inline __attribute__((always_inline)) __m256i int_scale(int64_t b, int half, int strip) const {
    return load(w.int_scale + (b * kInfo.halves + half) * kR + 8 * strip);
  }
  inline __attribute__((always_inline)) __m256 bias(int64_t b, int strip) const {
    return _mm256_loadu_ps(w.bias + b * kR + 8 * strip);
  }
  inline __attribute__((always_inline)) __m256 neg_d_min(int64_t b, int strip) const {
    return _mm256_loadu_ps(w.neg_d_min + b / kMostGroupBlocks * kR + 8 * strip);
  }
  inline __attribute__((always_inline)) __m256i mins(int64_t b, int strip) const {
    return load(w.mins + ((kind == kScale32Min ? b / 2 : b) * kR + 8 * strip) * 2);
  }
};

// One step of one token: 4 activations times the codes of two vectors, added to two 16-bit sums. In assembly, for GCC
// adds the products of a block as a tree (it keeps all of them, in memory) and loads codes anew for each token.
typedef int32_t __attribute__((may_alias, aligned(1))) Word;
TESSERA_STATIC_INLINE void add_products(__m256i& sum0, __m256i& sum1, __m256i code0, __m256i code1, const int8_t* x) {
  __m256i four, product;
  asm("vpbroadcastd %[x], %[four]\n\t"
      "vpmaddubsw %[four], %[code0], %[product]\n\t"
      "vpmaddubsw %[four], %[code1], %[four]\n\t"
      "vpaddw %[product], %[sum0], %[sum0]\n\t"
      "vpaddw %[four], %[sum1], %[sum1]"
      : [sum0] "+x"(sum0), [sum1] "+x"(sum1), [four] "=&x"(four), [product] "=&x"(product)
      : [code0] "x"(code0), [code1] "x"(code1), [x] "m"(*reinterpret_cast<const Word*>(x)));
}
TESSERA_STATIC_INLINE void set_products(__m256i& sum0, __m256i& sum1, __m256i code0, __m256i code1, const int8_t* x) {
  asm("vpbroadcastd %[x], %[sum1]\n\t"
      "vpmaddubsw %[sum1], %[code0], %[sum0]\n\t"
      "vpmaddubsw %[sum1], %[code1], %[sum1]"
      : [sum0] "=&x"(sum0), [sum1] "=&x"(sum1)
      : [code0] "x"(code0), [code1] "x"(code1), [x] "m"(*reinterpret_cast<const Word*>(x)));
}
TESSERA_STATIC_INLINE __m256i broadcast4(const void* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return _mm256_set1_epi32(four);
}

// Integer dot products of R strips from `strip` on with T tokens over kSteps steps.
template <class Source, int kSteps, int R, int T>
struct Dots {
  // codes: activations of the first step and token; `width` tokens side by side.
  static inline __attribute__((always_inline)) void get(const Source& w, int64_t b, int first_step, int strip,
                                                        const int8_t* codes, int width, __m256i (&dot)[R][T]) {
    if constexpr (Source::kSum == 1) {
      wide(w, b, first_step, strip, codes, width, dot);
    } else {
      narrow(w, b, first_step, strip, codes, width, dot);
    }
  }

 private:
  static inline __attribute__((always_inline)) void narrow(const Source& w, int64_t b, int first_step, int strip,
                                                           const int8_t* codes, int width, __m256i (&dot)[R][T]) {
    constexpr int kSum = Source::kSum < kSteps ? Source::kSum : kSteps;
#pragma GCC unroll 4
    for (int begin = 0; begin < kSteps; begin += kSum) {
      __m256i sum[R][T];
#pragma GCC unroll 8
      for (int step = begin; step < begin + kSum; ++step) {
#pragma GCC unroll 4
        for (int r = 0; r < R; r += 2) {
          const __m256i code0 = w.code(b, first_step + step, strip + r);
          const __m256i code1 = w.code(b, first_step + step, strip + r + 1);
          products(sum[r], sum[r + 1], code0, code1, codes + step * width * 4, step == begin);
        }
      }
      widen(sum, 1, dot, begin == 0);
    }
  }
  static inline __attribute__((always_inline)) void wide(const Source& w, int64_t b, int first_step, int strip,
                                                         const int8_t* codes, int width, __m256i (&dot)[R][T]) {
    __m256i low[R][T], high[R][T];
#pragma GCC unroll 8
    for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        __m256i code_low, code_high;
        w.nibbles(b, first_step + step, strip + r, code_low, code_high);
        products(low[r], high[r], code_low, code_high, codes + step * width * 4, step == 0);
      }
    }
    widen(low, 1, dot, true);
    widen(high, 16, dot, false);
  }
  static inline __attribute__((always_inline)) void products(__m256i (&sum0)[T], __m256i (&sum1)[T], __m256i code0,
                                                             __m256i code1, const int8_t* codes, bool first) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      first ? set_products(sum0[t], sum1[t], code0, code1, codes + 4 * t)
            : add_products(sum0[t], sum1[t], code0, code1, codes + 4 * t);
    }
  }
  static inline __attribute__((always_inline)) void widen(const __m256i (&sum)[R][T], int16_t factor,
                                                          __m256i (&dot)[R][T], bool first) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const __m256i four = _mm256_madd_epi16(sum[r][t], _mm256_set1_epi16(factor));
        dot[r][t] = first ? four : _mm256_add_epi32(dot[r][t], four);
      }
    }
  }
};

// The sums of a tile in L1: [tokens][32].
TESSERA_STATIC_INLINE void load_sums(const TileOutput& out, int64_t tokens, float* sums) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int strip = 0; strip < 4; ++strip) {
      const float* in = out.c_in + t * out.c_in_stride + 8 * strip;
      _mm256_store_ps(sums + t * kR + 8 * strip, out.c_in != nullptr ? _mm256_loadu_ps(in) : _mm256_setzero_ps());
    }
  }
}
TESSERA_STATIC_INLINE void store_sums(const TileOutput& out, int64_t tokens, const float* sums) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int strip = 0; strip < 4; ++strip) {
      __m256 y = _mm256_load_ps(sums + t * kR + 8 * strip);
      if (out.add != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(out.add + t * out.add_stride + 8 * strip));
      _mm256_storeu_ps(out.c_out + t * out.c_out_stride + 8 * strip, y);
    }
  }
}

// A tile of W tokens.
template <class Source, int W>
struct Tile {
  static constexpr BlockKind kKind = Source::kKind;
  static constexpr BlockKindInfo kInfo = block_kind_info(kKind);
  static constexpr int kHalves = kInfo.halves;
  static constexpr int kSteps = 8 / kHalves;
  static constexpr int64_t kGroup = kInfo.group_blocks;
  static constexpr bool kOffset = kInfo.offset;
  static constexpr bool kWide = Source::kSum == 1;
  static constexpr int kTokens = W == 8 ? 4 : W;
  static constexpr int kStrips = kWide ? (kTokens == 1 ? 4 : kTokens <= 3 ? 2 : 1) : kTokens <= 3 ? 4 : 2;
  static_assert(W % kTokens == 0);
  using Sum = decltype(zero_sum<kKind>());

  static void run(const Source& w, const BlockTask& task) {
    alignas(32) float sums[W * kPanelRows];
    load_sums(task.out, W, sums);
    for (int64_t begin = 0; begin < task.blocks; begin += kGroup) {
      const int64_t end = task.blocks - begin < kGroup ? task.blocks : begin + kGroup;
      for (int strip = 0; strip < 4; strip += kStrips) {
        for (int first = 0; first < W; first += kTokens) part(w, task.x, begin, end, strip, first, sums);
      }
    }
    store_sums(task.out, W, sums);
  }

  // Small groups are unrolled, so that float sums need not begin with zeros in memory.
  static inline __attribute__((always_inline)) void part(const Source& w, const BlockTile& x, int64_t begin,
                                                         int64_t end, int strip, int first, float* sums) {
    constexpr int unrolled = kGroup == kMostGroupBlocks ? 0 : kGroup;
    if (unrolled != 0 && end - begin == unrolled) return blocks_of_part<unrolled>(w, x, begin, end, strip, first, sums);
    blocks_of_part<0>(w, x, begin, end, strip, first, sums);
  }
  template <int count>
  static inline __attribute__((always_inline)) void blocks_of_part(const Source& w, const BlockTile& x, int64_t begin,
                                                                   int64_t end, int strip, int first, float* sums) {
    Sum total[kStrips][kTokens];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (int r = 0; r < kStrips; ++r) total[r][t] = zero_sum<kKind>();
    }
#pragma GCC unroll 4
    for (int64_t i = 0; i < (count != 0 ? count : end - begin); ++i) {
      const int64_t b = begin + i;
      // Not for the group as a whole: requests in bursts leave memory idle between them.
      if (strip == 0 && first == 0) w.prefetch(b);
      if constexpr (count != 0) asm volatile("" ::: "memory");  // one block after the other: fewer registers
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) add_block(w, x, b, half, strip, first, count != 0 && i == 0, total);
      if constexpr (kInfo.bias) {
        __m256 bias[kStrips];
#pragma GCC unroll 4
        for (int r = 0; r < kStrips; ++r) bias[r] = w.bias(b, strip + r);
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) {
          const __m256 start = _mm256_set1_ps(static_cast<float>(x.start32[b * W + first + t]));
#pragma GCC unroll 4
          for (int r = 0; r < kStrips; ++r) total[r][t] = _mm256_fmadd_ps(start, bias[r], total[r][t]);
        }
      }
    }
    __m256 acc[kStrips][kTokens];
#pragma GCC unroll 4
    for (int r = 0; r < kStrips; ++r) {
      if constexpr (kInfo.int_scales) {
        const __m256 d = w.scale(begin, strip + r);
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) acc[r][t] = _mm256_mul_ps(_mm256_cvtepi32_ps(total[r][t]), d);
      } else {
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) acc[r][t] = total[r][t];
      }
    }
    if constexpr (kInfo.mins) add_mins(w, x, begin, end, strip, first, acc);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const __m256 x_scale = _mm256_set1_ps(x.scale[begin / kGroup * W + first + t]);
#pragma GCC unroll 4
      for (int r = 0; r < kStrips; ++r) {
        float* sum = sums + (first + t) * kPanelRows + 8 * (strip + r);
        _mm256_store_ps(sum, _mm256_fmadd_ps(acc[r][t], x_scale, _mm256_load_ps(sum)));
      }
    }
  }

  static inline __attribute__((always_inline)) void add_block(const Source& w, const BlockTile& x, int64_t b, int half,
                                                              int strip, int first, bool zero,
                                                              Sum (&total)[kStrips][kTokens]) {
    __m256i dot[kStrips][kTokens];
    const int8_t* codes = x.codes + ((b * 8 + half * kSteps) * W + first) * 4;
    Dots<Source, kSteps, kStrips, kTokens>::get(w, b, half * kSteps, strip, codes, W, dot);
    Sum scale[kStrips];
#pragma GCC unroll 4
    for (int r = 0; r < kStrips; ++r) {
      if constexpr (kInfo.int_scales) {
        scale[r] = w.int_scale(b, half, strip + r);
      } else {
        scale[r] = w.scale(b, strip + r);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      __m256i start = _mm256_setzero_si256();
      if constexpr (kOffset) {
        const int32_t* at = kHalves == 2 ? x.start16 + (b * 2 + half) * W : x.start32 + b * W;
        start = _mm256_srai_epi32(_mm256_set1_epi32(at[first + t]), (kHalves == 2 ? 5 : 7) - Source::kShift);
      }
#pragma GCC unroll 4
      for (int r = 0; r < kStrips; ++r) {
        if (kOffset) dot[r][t] = _mm256_add_epi32(dot[r][t], start);
        if constexpr (kInfo.row_scale) {
          total[r][t] = add_row_scaled(total[r][t], _mm256_srai_epi32(dot[r][t], sum_shift(Source::kShift)), scale[r]);
        } else {
          total[r][t] = add_scaled(total[r][t], dot[r][t], scale[r], zero);
        }
      }
    }
  }

  static inline __attribute__((always_inline)) void add_mins(const Source& w, const BlockTile& x, int64_t begin,
                                                             int64_t end, int strip, int first,
                                                             __m256 (&acc)[kStrips][kTokens]) {
    constexpr int64_t blocks = kKind == kScale32Min ? 2 : 1;  // of a pair
    const int16_t* pairs = kKind == kScale32Min ? x.pair32 : x.pair16;
    __m256i sums[kStrips][kTokens];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (int r = 0; r < kStrips; ++r) sums[r][t] = _mm256_setzero_si256();
    }
    for (int64_t b = begin; b < end; b += blocks) {
      __m256i mins[kStrips];
#pragma GCC unroll 4
      for (int r = 0; r < kStrips; ++r) mins[r] = w.mins(b, strip + r);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const __m256i pair = broadcast4(pairs + (b / blocks * W + first + t) * 2);
#pragma GCC unroll 4
        for (int r = 0; r < kStrips; ++r) sums[r][t] = _mm256_add_epi32(sums[r][t], _mm256_madd_epi16(mins[r], pair));
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kStrips; ++r) {
      const __m256 d = w.neg_d_min(begin, strip + r);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) acc[r][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r][t]), d, acc[r][t]);
    }
  }
};

template <int codec>
void few(const BlockTask& task) {
  const Packed<codec> source{task.panel, task.ahead, task.ahead_bytes};
  by_width(task.x.width, [&](auto width) { Tile<Packed<codec>, decltype(width)::value>::run(source, task); });
}

template <BlockKind kind, int sum, int shift>
void many_tile(const BlockTask& task, const int8_t* next) {
  using Source = Unpacked<kind, sum, shift>;
  const Source source{*task.w, next, task.x.width * kBlockCols};
  by_width(task.x.width, [&](auto width) { Tile<Source, decltype(width)::value>::run(source, task); });
}
template <BlockKind kind>
void many(const BlockTask* tiles, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const BlockTask& task = tiles[i];
    for (int64_t at = 0; at < task.ahead_bytes; at += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(task.ahead + at), _MM_HINT_T1);
    }
    const int8_t* next = tiles[i + 1 < count ? i + 1 : 0].x.codes;
    const int shift = task.w->offset_shift;
    if constexpr (kind == kScale32Row) {
      many_tile<kind, 8, 3>(task, next);
    } else if constexpr (kind == kScale32 || kind == kScale32RowRounded) {
      shift == 4 ? many_tile<kind, 4, 4>(task, next) : many_tile<kind, 1, 7>(task, next);
    } else if constexpr (kind == kScale16) {
      shift == 2 ? many_tile<kind, 8, 2>(task, next) : many_tile<kind, 2, 5>(task, next);
    } else if constexpr (kind == kScale16Min) {
      many_tile<kind, 8, -1>(task, next);
    } else {
      shift == kNoOffset5 ? many_tile<kind, 4, -1>(task, next) : many_tile<kind, 8, -1>(task, next);
    }
  }
}

template <int codec>
void unpack(const uint8_t* panel, int64_t first, int64_t blocks, UnpackedPanel& out) {
  const Packed<codec> w{panel};
  constexpr BlockLayout layout = block_layout(codec);
  constexpr BlockKindInfo info = block_kind_info(layout.kind);
  constexpr int halves = info.halves, group = info.group_blocks;
  out.offset_shift = layout.offset_shift < 0 && steps_per_sum(codec) == 4 ? kNoOffset5 : layout.offset_shift;
  out.codes = codec == kPackedQ8_0 ? w.block(first) : out.code_memory;
  out.code_stride = codec == kPackedQ8_0 ? layout.group_bytes : 1024;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t b = first + i;
    for (int strip = 0; strip < 4; ++strip) {
      if constexpr (codec != kPackedQ8_0) {
#pragma GCC unroll 8
        for (int step = 0; step < 8; ++step) {
          auto* to = out.code_memory + i * 1024 + step * 128 + 32 * strip;
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), w.code(b, step, strip));
        }
      }
      if constexpr (!info.int_scales) {
        _mm256_storeu_ps(out.scale + i * kR + 8 * strip, w.scale(b, strip));
      } else {
        if (info.row_scale ? i == 0 : i % group == 0) {
          _mm256_storeu_ps(out.scale + i / group * kR + 8 * strip, w.scale(b, strip));
        }
        for (int half = 0; half < halves; ++half) {
          auto* to = out.int_scale + (i * halves + half) * kR + 8 * strip;
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), w.int_scale(b, half, strip));
        }
      }
      if constexpr (info.bias) _mm256_storeu_ps(out.bias + i * kR + 8 * strip, w.bias(b, strip));
      if constexpr (info.mins) {
        constexpr int64_t of_pair = 2 / halves;
        if (i % of_pair == 0) {
          auto* to = out.mins + (i / of_pair * kR + 8 * strip) * 2;
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), w.mins(b, strip));
        }
        if (i % group == 0) _mm256_storeu_ps(out.neg_d_min + i / group * kR + 8 * strip, w.neg_d_min(b, strip));
      }
    }
  }
}

// ---- float weights ----

// Column `begin + odd` of 8 rows; begin is even.
struct RowsF32 {
  static constexpr int kBytes = 4;
  const float* w;
  inline __attribute__((always_inline)) __m256 at(int64_t begin, int odd, int strip) const {
    return _mm256_loadu_ps(w + (begin + odd) * kR + 8 * strip);
  }
};
struct RowsF16 {
  static constexpr int kBytes = 2;
  const uint16_t* w;
  inline __attribute__((always_inline)) __m256 at(int64_t begin, int odd, int strip) const {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + (begin + odd) * kR + 8 * strip)));
  }
};
struct RowsBf16 {
  static constexpr int kBytes = 2;
  const uint16_t* w;
  inline __attribute__((always_inline)) __m256 at(int64_t begin, int odd, int strip) const {
    const __m256i pair = load(w + begin * kR + 16 * strip);
    return _mm256_castsi256_ps(odd == 0 ? _mm256_slli_epi32(pair, 16)
                                        : _mm256_and_si256(pair, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
  }
};

// Columns that all parts of a tile of few tokens are multiplied with before the next ones: 2 or 4 KiB.
constexpr int64_t kFloatCols = 32;

// T tokens times R strips; columns [begin, end).
template <class Source, int R, int T>
struct FloatPart {
  static void run(const Source& w, const float* x, int64_t begin, int64_t end, int strip, float* sums) {
    __m256 acc[R][T];
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][t] = _mm256_load_ps(sums + t * kR + 8 * (strip + r));
    }
    int64_t k = begin;
    for (; k + 2 <= end; k += 2) {
      column(w, x + k * T, k, 0, strip, acc);
      column(w, x + (k + 1) * T, k, 1, strip, acc);
    }
    if (k < end) column(w, x + k * T, k, 0, strip, acc);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) _mm256_store_ps(sums + t * kR + 8 * (strip + r), acc[r][t]);
    }
  }

 private:
  static inline __attribute__((always_inline)) void column(const Source& w, const float* x, int64_t k, int odd,
                                                           int strip, __m256 (&acc)[R][T]) {
    __m256 rows[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) rows[r] = w.at(k, odd, strip + r);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      const __m256 xs = _mm256_broadcast_ss(x + t);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][t] = _mm256_fmadd_ps(rows[r], xs, acc[r][t]);
    }
  }
};

template <class Source, int T>
void float_columns(const Source& w, const float* x, int64_t begin, int64_t end, float* sums) {
  constexpr int kStrips = T <= 3 ? 4 : 2;
  for (int strip = 0; strip < 4; strip += kStrips) {
    FloatPart<Source, kStrips, T>::run(w, x, begin, end, strip, sums);
  }
}

// Lines in ascending order and a request 4 KiB ahead, as Packed::prefetch.
TESSERA_STATIC_INLINE void stream_ahead(const uint8_t* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) {
    uint32_t word;
    asm volatile("movl %1, %0" : "=r"(word) : "m"(*(p + i)));
    if (i % 512 == 0) _mm_prefetch(reinterpret_cast<const char*>(p + i + 4096), _MM_HINT_T1);
  }
}

// Up to 6 tokens: the panel is walked once.
template <class Source>
void float_few(const Source& w, const FloatTask& task) {
  alignas(32) float sums[6 * kR];
  load_sums(task.out, task.width, sums);
  const auto* x = static_cast<const float*>(task.x);
  for (int64_t begin = 0; begin < task.cols; begin += kFloatCols) {
    const int64_t end = task.cols - begin < kFloatCols ? task.cols : begin + kFloatCols;
    constexpr int64_t kColumn = kR * Source::kBytes;
    stream_ahead(reinterpret_cast<const uint8_t*>(w.w) + begin * kColumn, (end - begin) * kColumn);
    switch (task.width) {
      case 1: float_columns<Source, 1>(w, x, begin, end, sums); break;
      case 2: float_columns<Source, 2>(w, x, begin, end, sums); break;
      case 3: float_columns<Source, 3>(w, x, begin, end, sums); break;
      case 4: float_columns<Source, 4>(w, x, begin, end, sums); break;
      case 5: float_columns<Source, 5>(w, x, begin, end, sums); break;
      default: float_columns<Source, 6>(w, x, begin, end, sums); break;
    }
  }
  store_sums(task.out, task.width, sums);
}

// More tokens: a range that stays in L1, 16 rows and W of the tile's tokens from `first` on at a time.
template <class Source, int W>
void float_strips(const Source& w, const FloatTask& task, int64_t first, int strip) {
  const float* x = static_cast<const float*>(task.x) + first;
  const TileOutput& out = task.out;
  __m256 acc[W][2];
#pragma GCC unroll 6
  for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const float* in = out.c_in + (first + t) * out.c_in_stride + 8 * (strip + h);
      acc[t][h] = out.c_in != nullptr ? _mm256_loadu_ps(in) : _mm256_setzero_ps();
    }
  }
  for (int64_t k = 0; k < task.cols; ++k) {
    const int odd = static_cast<int>(k % 2);
    const __m256 w0 = w.at(k - odd, odd, strip), w1 = w.at(k - odd, odd, strip + 1);
#pragma GCC unroll 6
    for (int t = 0; t < W; ++t) {
      const __m256 xs = _mm256_broadcast_ss(x + k * task.width + t);
      acc[t][0] = _mm256_fmadd_ps(w0, xs, acc[t][0]);
      acc[t][1] = _mm256_fmadd_ps(w1, xs, acc[t][1]);
    }
  }
#pragma GCC unroll 6
  for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      __m256 y = acc[t][h];
      if (out.add != nullptr)
        y = _mm256_add_ps(y, _mm256_loadu_ps(out.add + (first + t) * out.add_stride + 8 * (strip + h)));
      _mm256_storeu_ps(out.c_out + (first + t) * out.c_out_stride + 8 * (strip + h), y);
    }
  }
}
template <class Source>
void float_rows(const Source& w, const FloatTask& task) {
  if (task.width <= 6) return float_few(w, task);
  for (int strip = 0; strip < 4; strip += 2) {
    for (int64_t first = 0; first < task.width; first += 6) {
      switch (task.width - first) {
        case 1: float_strips<Source, 1>(w, task, first, strip); break;
        case 2: float_strips<Source, 2>(w, task, first, strip); break;
        case 3: float_strips<Source, 3>(w, task, first, strip); break;
        case 4: float_strips<Source, 4>(w, task, first, strip); break;
        case 5: float_strips<Source, 5>(w, task, first, strip); break;
        default: float_strips<Source, 6>(w, task, first, strip); break;
      }
    }
  }
}

void float_f32(const FloatTask& task) { float_rows(RowsF32{static_cast<const float*>(task.panel)}, task); }
void float_f16(const FloatTask& task) { float_rows(RowsF16{static_cast<const uint16_t*>(task.panel)}, task); }
void float_bf16(const FloatTask& task) { float_rows(RowsBf16{static_cast<const uint16_t*>(task.panel)}, task); }

// Codes of 8 bits without scales between: one "block" after the other of 32 columns.
struct RowCodes {
  static constexpr int kSum = 1;
  const uint8_t* codes;
  inline __attribute__((always_inline)) void nibbles(int64_t b, int step, int strip, __m256i& low,
                                                     __m256i& high) const {
    const __m256i v = load(codes + b * 1024 + 128 * step + 32 * strip), mask = _mm256_set1_epi8(0x0f);
    low = _mm256_and_si256(v, mask);
    high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
  }
};

template <int W>
void row_tile(const RowTask& task) {
  constexpr int kStrips = W == 1 ? 4 : W <= 3 ? 2 : 1;
  alignas(32) int32_t sums[W * kPanelRows];
  for (int t = 0; t < W; ++t) {
    for (int strip = 0; strip < 4; ++strip) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums + t * kPanelRows + 8 * strip),
                         _mm256_set1_epi32(-128 * task.x.sum[t]));
    }
  }
  const RowCodes w{task.panel};
  for (int64_t b = 0; b < task.cols / kBlockCols; ++b) {
    _mm_prefetch(reinterpret_cast<const char*>(task.panel + b * 1024 + 4096), _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(task.panel + b * 1024 + 4096 + 512), _MM_HINT_T1);
    for (int strip = 0; strip < 4; strip += kStrips) {
      __m256i dot[kStrips][W];
      Dots<RowCodes, 8, kStrips, W>::get(w, b, 0, strip, task.x.codes + b * kBlockCols * W, W, dot);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) {
#pragma GCC unroll 4
        for (int r = 0; r < kStrips; ++r) {
          auto* sum = reinterpret_cast<__m256i*>(sums + t * kPanelRows + 8 * (strip + r));
          _mm256_store_si256(sum, _mm256_add_epi32(_mm256_load_si256(sum), dot[r][t]));
        }
      }
    }
  }
  const TileOutput& out = task.out;
  for (int t = 0; t < W; ++t) {
    for (int strip = 0; strip < 4; ++strip) {
      const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(task.row_scale + 8 * strip), _mm256_set1_ps(task.x.scale[t]));
      __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(load(sums + t * kPanelRows + 8 * strip)), scale);
      if (out.add != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(out.add + t * out.add_stride + 8 * strip));
      _mm256_storeu_ps(out.c_out + t * out.c_out_stride + 8 * strip, y);
    }
  }
}

void row_w8(const RowTask& task) {
  by_width(task.x.width, [&](auto width) { row_tile<decltype(width)::value>(task); });
}

}  // namespace

void apply(MatmulKernels& table) {
  for_each<kBlockCodecs>([&](auto codec) {
    table.few[codec.value] = few<codec.value>;
    table.unpack[codec.value] = unpack<codec.value>;
  });
  for_each<kBlockKinds>([&](auto kind) { table.many[kind.value] = many<static_cast<BlockKind>(kind.value)>; });
  table.float_f32 = float_f32;
  table.float_f16 = float_f16;
  table.float_bf16 = float_bf16;
  table.row_w8 = row_w8;
}

}  // namespace tessera::avx2
