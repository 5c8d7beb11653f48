// Matmul of block-quantized weights on vpdpbusd (AVX-512 VNNI): 64 multiply-adds per instruction.
//
// Few tokens: Tile over Packed, which unpacks codes in registers from the panel as it streams by; every byte of weights is
// read once from memory. 32 rows x up to 6 tokens: 12 registers of block sums and 12 of group sums, or with row_scale of the sums of
// the block before; sums of the row are in memory (with row_scale and up to 4 tokens in registers). Many tokens:
// UnpackedTile reads bytes that a panel's range was expanded to, 16 rows at a time. Weights are the unsigned operand,
// broadcast activations the signed one, and the offset of the codes enters as the start value of the integer sum, so that a
// step of 4 columns is nothing but dot products.
//
// Cost per block of 32 columns and 12 (row vector, token) pairs: 96 dot products, 12 conversions (other port), 12 fused
// multiply-adds; per group of columns with one activation scale 12 more. Bound: 84 % of the vpdpbusd peak with groups of 64
// columns. With row_scale 6 products of pairs of sums take the place of the 12 multiply-adds: 96 / (96 + 6 + 6) = 88.9 %; shifts,
// blends and conversions find room on other ports as long as they are few (an addition more per sum: -5 %). Super-blocks multiply and add integers instead (vpmulld, vpaddd): on Zen 4 2 to 3 %
// slower with many tokens, and with one token 0 (q6_k) to 14 % (q4_k) faster. There the registers that vector results wait in
// limit how far the core looks ahead in the stream, and a scale takes 3 results a block where it took 5 (docs/performance.md).
#include <immintrin.h>

#include <type_traits>

#include "kernels/layers.h"
#include "kernels/matmul_common.h"
#include "kernels/matmul_kernels.h"

namespace tessera::avx512_vnni {
namespace {

constexpr int kR = kPanelRows;

TESSERA_STATIC_INLINE __m512i load(const void* p) { return _mm512_loadu_si512(p); }
TESSERA_STATIC_INLINE __m512 load_f16(const uint8_t* p, int h) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32 * h)));
}
TESSERA_STATIC_INLINE __m128i load16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
TESSERA_STATIC_INLINE __m512 signed_to_float(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
TESSERA_STATIC_INLINE __m512 negate(__m512 v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }
// 16 rows' minima of two blocks (or half blocks) -> int16 pairs.
TESSERA_STATIC_INLINE __m512i pair_up(__m128i a, __m128i b) {
  return _mm512_cvtepu8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b)));
}

// Products whose activations are memory operands: GCC 12 would load them into a register first. dot4 is volatile: in this
// order, one token after the other, so that each sum has rested as long as the others.
typedef int32_t __attribute__((may_alias, aligned(1))) Word;
TESSERA_STATIC_INLINE __m512i dot4(__m512i sum, __m512i codes, const int8_t* x) {
  asm volatile("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*reinterpret_cast<const Word*>(x)));
  return sum;
}
TESSERA_STATIC_INLINE __m512i dot2(__m512i sum, __m512i mins, const int16_t* x) {
  asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(mins), "m"(*reinterpret_cast<const Word*>(x)));
  return sum;
}

// Sums of two blocks side by side, bits `shift` to `shift` + 15 of each: what is above them repeats the sign. (As one permutation of
// words: tiles 3 % slower.)
template <int shift>
TESSERA_STATIC_INLINE __m512i as_pairs(__m512i first, __m512i second) {
  if constexpr (shift > 0) first = _mm512_srli_epi32(first, shift);
  return _mm512_mask_blend_epi16(0x55555555, _mm512_slli_epi32(second, 16 - shift), first);
}

// A block's integer sum times its scale, added to the sum of its group: as integers where scales are, or as floats.
TESSERA_STATIC_INLINE __m512i add_scaled(__m512i sum, __m512i dot, __m512i scale) {
  return _mm512_add_epi32(sum, _mm512_mullo_epi32(dot, scale));
}
TESSERA_STATIC_INLINE __m512 add_scaled(__m512 sum, __m512i dot, __m512 scale) {
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum);
}
template <BlockKind kind>
TESSERA_STATIC_INLINE auto zero_sum() {
  if constexpr (block_kind_info(kind).int_scales) {
    return _mm512_setzero_si512();
  } else {
    return _mm512_setzero_ps();
  }
}

// Weights of a packed panel. `h` selects rows 0..15 or 16..31, `half` columns 0..15 or 16..31 of a block. kStream: from
// memory; else the panel was fetched while the one before was multiplied.
template <int codec, bool kStream>
struct Packed {
  static constexpr BlockLayout kLayout = block_layout(codec);
  static constexpr BlockKind kKind = kLayout.kind;
  static constexpr int kShift = kLayout.offset_shift;
  const uint8_t* panel;
  const uint8_t* ahead = nullptr;
  int64_t ahead_bytes = 0;

  static constexpr int kOffsetShift = kShift;
  static constexpr int kBlockBytes = kLayout.group_bytes / kLayout.group_blocks;
  static constexpr bool kNibbles = kLayout.nibbles_at >= 0;
  // Most tokens for which a block is read line by line: sums of low and of high nibbles have registers of their own.
  static constexpr int kLineTokens = !kNibbles ? 0 : kLayout.group_blocks == 1 ? 2 : 1;
  static constexpr bool kKeepsActivations = kStream && kNibbles && kLayout.pairs_at < 0;
  static constexpr const uint8_t* kTable = codec == kPackedIQ4_NL || codec == kPackedIQ4_XS ? kIq4Codes
                                           : codec == kPackedMXFP4                          ? kMxfp4Codes
                                                                                            : nullptr;
  static constexpr int kHighShift = kLayout.pairs_at < 0 && kLayout.bits_at < 0 && kTable == nullptr ? 4 : 0;
  inline __attribute__((always_inline)) const uint8_t* group(int64_t b) const {
    return panel + kLayout.head_bytes() + b / kLayout.group_blocks * kLayout.group_bytes;
  }
  inline __attribute__((always_inline)) const uint8_t* block(int64_t b) const {
    return group(b) + kLayout.blocks_at + b % kLayout.group_blocks * kLayout.block_bytes;
  }

  // One tile of tokens: the hardware follows a stream whose lines are touched in ascending order, nudged by one request per
  // 512 bytes (into L2, 4 KiB ahead). Compilers reorder loads and some lines are not needed in that order (scales, planes
  // without nibbles): with one token a load of its own touches these first. Several tiles: each tile's pass fetches a share
  // of the next panel: otherwise the first pass waits for memory and the others leave it idle.
  template <int W>
  inline __attribute__((always_inline)) void prefetch(int64_t b) const {
    if constexpr (!kStream) {
      const auto* line = reinterpret_cast<const char*>(ahead + b * ahead_bytes);
      for (int64_t i = 0; i < ahead_bytes; i += 64) _mm_prefetch(line + i, _MM_HINT_T1);
    } else {
      constexpr bool touched = W == 1 && codec != kPackedQ8_0;
      if constexpr (touched) {
        constexpr int head = kLayout.blocks_at, bytes = kLayout.block_bytes;
        const uint8_t* at = block(b);
        if (kLayout.group_blocks == 1 || b % kLayout.group_blocks == 0) touch<head>(at - head);
        if constexpr (!kNibbles) touch<bytes>(at);
      }
      // Codes that take longer to unpack than to fetch do better with a request for every line.
      constexpr bool slow = codec == kPackedQ2_K || codec == kPackedQ3_K || codec == kPackedIQ4_XS;
      constexpr bool sparse = touched ? !slow : kLayout.group_blocks == 1 && kLayout.bits_at < 0;
      constexpr int average = kLayout.group_bytes / kLayout.group_blocks;
      const auto* line = reinterpret_cast<const char*>(panel + b * average + (sparse ? 4096 : 8192));
#pragma GCC unroll 16
      for (int i = 0; i < average; i += sparse ? 512 : 64) _mm_prefetch(line + i, _MM_HINT_T1);
    }
  }
  static inline __attribute__((always_inline)) __m512i load_in_order(const uint8_t* p) {
    if constexpr (!kStream) return load(p);
    __m512i v;
    asm volatile("vmovdqu64 %1, %0" : "=v"(v) : "m"(*reinterpret_cast<const __m512i_u*>(p)));
    return v;
  }
  template <int bytes>
  static inline __attribute__((always_inline)) void touch(const uint8_t* p) {
#pragma GCC unroll 20
    for (int i = 0; i < bytes; i += 64) {
      uint32_t word;
      asm volatile("movl %1, %0" : "=r"(word) : "m"(*(p + i)));
    }
  }
  inline __attribute__((always_inline)) __m512i code(int64_t b, int step, int h) const {
    const uint8_t* p = block(b) + 64 * h;
    if constexpr (codec == kPackedQ8_0) return load_in_order(p + 128 * step);
    __m512i v = _mm512_setzero_si512();
    if constexpr (kLayout.nibbles_at >= 0) {
      v = load(p + kLayout.nibbles_at + 128 * (step % 4));
      v = _mm512_and_si512(step < 4 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(0x0f));
    }
    if constexpr (kLayout.pairs_at >= 0) {
      // Bits 2s, 2s + 1 -> bits n, n + 1 above the nibble; shifts of 16-bit lanes, strays masked.
      const __m512i pairs = load(p + kLayout.pairs_at + 128 * (step / 4));
      v = merge(v, shifted(pairs, kLayout.pairs_shift() - 2 * (step % 4)), 3 << kLayout.pairs_shift());
    }
    if constexpr (kLayout.bits_at >= 0) {
      constexpr int position = kLayout.bits_shift();
      v = merge(v, shifted(load(p + kLayout.bits_at), position - step), 1 << position);
    }
    return kTable != nullptr ? lookup(kTable, v) : v;
  }

  // The same for codes with nibbles, every line of the block loaded once and in order: first the small planes (two bits of
  // each half, or one bit of all steps), then the nibbles of steps s and s + 4, which share a line. `high` is
  // kHighShift bits too far left.
  struct Planes {
    __m512i at[2][2];  // [half][h]
  };
  struct Codes {
    __m512i low, high;
  };
  inline __attribute__((always_inline)) Planes planes(int64_t b) const {
    Planes v;
    for (int half = 0; half < 2; ++half) {
      for (int h = 0; h < 2; ++h) {
        const uint8_t* p = block(b) + 64 * h;
        if constexpr (kLayout.pairs_at >= 0) v.at[half][h] = load_in_order(p + kLayout.pairs_at + 128 * half);
        if constexpr (kLayout.bits_at >= 0) v.at[half][h] = half == 0 ? load_in_order(p + kLayout.bits_at) : v.at[0][h];
      }
    }
    return v;
  }
  inline __attribute__((always_inline)) Codes codes(int64_t b, int step, int h, const Planes& planes) const {
    const __m512i line = load_in_order(block(b) + kLayout.nibbles_at + 128 * step + 64 * h);
    const __m512i mask = _mm512_set1_epi8(0x0f);
    Codes v{_mm512_and_si512(line, mask), kHighShift > 0 ? _mm512_andnot_si512(mask, line)
                                                         : _mm512_and_si512(_mm512_srli_epi16(line, 4), mask)};
    if constexpr (kLayout.pairs_at >= 0) {
      v.low = merge(v.low, shifted(planes.at[0][h], 4 - 2 * step), 3 << 4);
      v.high = merge(v.high, shifted(planes.at[1][h], 4 - 2 * step), 3 << 4);
    }
    if constexpr (kLayout.bits_at >= 0) {
      v.low = merge(v.low, shifted(planes.at[0][h], 4 - step), 1 << 4);
      v.high = merge(v.high, shifted(planes.at[1][h], -step), 1 << 4);
    }
    if constexpr (kTable != nullptr) v = {lookup(kTable, v.low), lookup(kTable, v.high)};
    return v;
  }

  // Of block b; with int_scales of its group; with row_scale of the row.
  inline __attribute__((always_inline)) __m512 scale(int64_t b, int h) const {
    if constexpr (block_kind_info(kKind).row_scale) return _mm512_loadu_ps(panel + 64 * h);
    const uint8_t* g = group(b);
    if constexpr (codec == kPackedMXFP4) return e8m0_half(load16(g + 16 * h));
    const __m512 d = load_f16(g, h);
    if constexpr (codec == kPackedIQ4_XS) {
      return _mm512_mul_ps(d, signed_to_float(load16(g + (2 + b % kLayout.group_blocks) * kR + 16 * h)));
    }
    return d;
  }
  // With row_scale: 16-bit scales of blocks b, which is even, and b + 1; where weights stream, in the order of memory.
  inline __attribute__((always_inline)) __m512i scale_pairs(int64_t b, int h) const { return load_in_order(group(b + h)); }
  inline __attribute__((always_inline)) __m512i int_scale(int64_t b, int half, int h) const {
    const uint8_t* rows = group(b) + 16 * h;
    const int64_t i = b % kLayout.group_blocks;
    if constexpr (kKind == kScale32Min) return _mm512_cvtepu8_epi32(load16(rows + (4 + i) * kR));
    if constexpr (kKind == kScale16) return _mm512_cvtepi8_epi32(load16(rows + (2 + 2 * i + half) * kR));
    return _mm512_cvtepu8_epi32(_mm_and_si128(load16(rows + (4 + 2 * i + half) * kR), _mm_set1_epi8(0x0f)));
  }
  inline __attribute__((always_inline)) __m512 bias(int64_t b, int h) const {
    return _mm512_mul_ps(load_f16(group(b) + 2 * kR, h), _mm512_set1_ps(-1.0f / 128));
  }
  inline __attribute__((always_inline)) __m512 neg_d_min(int64_t b, int h) const {
    return negate(load_f16(group(b) + 2 * kR, h));
  }
  // Minima of blocks b and b + 1, or of both halves of block b.
  inline __attribute__((always_inline)) __m512i mins(int64_t b, int h) const {
    const uint8_t* g = group(b) + 16 * h;
    const int64_t i = b % kLayout.group_blocks;
    if constexpr (kKind == kScale32Min) return pair_up(load16(g + (12 + i) * kR), load16(g + (13 + i) * kR));
    const __m128i mask = _mm_set1_epi8(0x0f);
    return pair_up(_mm_and_si128(_mm_srli_epi16(load16(g + (4 + 2 * i) * kR), 4), mask),
                   _mm_and_si128(_mm_srli_epi16(load16(g + (5 + 2 * i) * kR), 4), mask));
  }

 private:
  static __attribute__((always_inline)) __m512i shifted(__m512i v, int left) {
    return left > 0 ? _mm512_slli_epi16(v, left) : left < 0 ? _mm512_srli_epi16(v, -left) : v;
  }
  static __attribute__((always_inline)) __m512i merge(__m512i v, __m512i bits, int mask) {
    return _mm512_ternarylogic_epi32(v, bits, _mm512_set1_epi8(static_cast<char>(mask)), 0xf8);  // v | (bits & mask)
  }
  static __attribute__((always_inline)) __m512i lookup(const uint8_t* table, __m512i index) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load16(table)), index);
  }
  static __attribute__((always_inline)) __m512 e8m0_half(__m128i exponents) {
    const __m512i e = _mm512_cvtepu8_epi32(exponents);
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const __m512i denormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), normal, denormal));
  }
};

// Weights that stream through the first-level cache push the activations out of it, and every line of those then queues for
// one of the core's miss buffers behind weights that come from memory. So all of them are touched again within 24 KiB of
// weights, where two lines per block do it. Two threads in the far state, without and with in every second step: matrices of
// 3072 columns of q4_0 1 to 7 % faster, of 2048 columns 2 to 6 %, of q4_k 1 to 4 %. More columns: four to six lines gain nothing,
// three lose 20 %. q6_k and q8_0 lose 6 and 10 %. The number of lines is no constant for the compiler: unrolled, q4_0 lost some 10 %
// on one thread.
class KeepNear {
 public:
  __attribute__((always_inline)) KeepNear(const int8_t* codes, int64_t blocks, int block_bytes)
      : codes_(codes), bytes_(blocks * kBlockCols), lines_(bytes_ * block_bytes <= kLines * 64 * (24 << 10) ? kLines : 0) {}
  __attribute__((always_inline)) void touch_next() {
    for (int64_t i = 0, at = at_; i < lines_; ++i, at += 64) {
      if (at >= bytes_) at = 0;
      uint32_t word;
      asm volatile("movl %1, %0" : "=r"(word) : "m"(codes_[at]));
      at_ = at + 64;
    }
  }

 private:
  static constexpr int64_t kLines = 2;
  const int8_t* codes_;
  int64_t bytes_;
  int64_t lines_;
  int64_t at_ = 0;
};

template <class Source, int W>
struct Tile {
  static constexpr BlockKind kKind = Source::kKind;
  static constexpr BlockKindInfo kInfo = block_kind_info(kKind);
  static constexpr int kHalves = kInfo.halves;
  static constexpr int kSteps = 8 / kHalves;
  static constexpr int64_t kGroup = kInfo.group_blocks;
  static constexpr bool kOffset = kInfo.offset;
  static constexpr bool kKeeps = Source::kKeepsActivations && W == 1;
  using Sum = decltype(zero_sum<kKind>());

  static void run(const Source& w, const BlockTask& task) {
    KeepNear keep(task.x.codes, task.blocks, Source::kBlockBytes);
    if constexpr (kInfo.row_scale) {
      run_pairs(w, task, keep);
    } else {
      run_groups(w, task, keep);
    }
  }

  // The sums of the tile stay in L1, at fixed distances: strides in variables cost registers in every group.
  static __attribute__((always_inline)) void run_groups(const Source& w, const BlockTask& task, KeepNear& keep) {
    alignas(64) float sums[W * kR];
    const TileOutput& out = task.out;
    for (int t = 0; t < W; ++t) {
      for (int h = 0; h < 2; ++h) {
        const float* in = out.c_in + t * out.c_in_stride + 16 * h;
        _mm512_store_ps(sums + t * kR + 16 * h, out.c_in != nullptr ? _mm512_loadu_ps(in) : _mm512_setzero_ps());
      }
    }
    for (int64_t begin = 0; begin < task.blocks; begin += kGroup) {
      const bool last = task.blocks - begin <= kGroup;
      group(w, task.x, begin, last ? task.blocks : begin + kGroup, sums, keep);
    }
    for (int t = 0; t < W; ++t) {
      for (int h = 0; h < 2; ++h) {
        __m512 y = _mm512_load_ps(sums + t * kR + 16 * h);
        if (out.add != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(out.add + t * out.add_stride + 16 * h));
        _mm512_storeu_ps(out.c_out + t * out.c_out_stride + 16 * h, y);
      }
    }
  }

  // With row_scale: the sums, in units of it, are left to the compiler: in registers for up to 4 tokens. With 16 and 32 tokens
  // storing them after every pair is 3 % slower, and 16 rows at a time, for which registers suffice, is 3 % faster on a quiet
  // machine and up to 25 % slower beside a busy neighbour.
  static __attribute__((always_inline)) void run_pairs(const Source& w, const BlockTask& task, KeepNear& keep) {
    __m512 sums[W][2];
    const TileOutput& out = task.out;
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const float* in = out.c_in + t * out.c_in_stride + 16 * h;
        sums[t][h] = out.c_in != nullptr ? _mm512_div_ps(_mm512_loadu_ps(in), w.scale(0, h)) : _mm512_setzero_ps();
      }
    }
    int64_t b = 0;
    for (; b + 2 <= task.blocks; b += 2) pair<2>(w, task.x, b, sums, keep);
    if (b < task.blocks) pair<1>(w, task.x, b, sums, keep);
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        __m512 y = _mm512_mul_ps(sums[t][h], w.scale(0, h));
        if (out.add != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(out.add + t * out.add_stride + 16 * h));
        _mm512_storeu_ps(out.c_out + t * out.c_out_stride + 16 * h, y);
      }
    }
  }

  // Blocks b and b + 1, or the last one alone. Everything in the order of memory, where weights may stream from.
  template <int count>
  static __attribute__((always_inline)) void pair(const Source& w, const BlockTile& x, int64_t b, __m512 (&sums)[W][2],
                                                  KeepNear& keep) {
    __m512i first[W][2], second[W][2];
    const __m512i scale0 = w.scale_pairs(b, 0);
    dots_of(w, x, b, keep, first);
    const __m512i scale1 = w.scale_pairs(b, 1);
    if constexpr (count == 2) {
      dots_of(w, x, b + 1, keep, second);
    } else {
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) second[t][0] = second[t][1] = _mm512_setzero_si512();
    }
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      const __m512 x_scale = _mm512_set1_ps(x.scale[b / kGroup * W + t]);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m512i pairs = as_pairs<sum_shift(Source::kOffsetShift)>(first[t][h], second[t][h]);
        const __m512 acc = _mm512_cvtepi32_ps(_mm512_madd_epi16(pairs, h == 0 ? scale0 : scale1));
        sums[t][h] = _mm512_fmadd_ps(acc, x_scale, sums[t][h]);
      }
    }
  }

  static __attribute__((always_inline)) void dots_of(const Source& w, const BlockTile& x, int64_t b, KeepNear& keep,
                                                     __m512i (&dot)[W][2]) {
    if constexpr (kKeeps) keep.touch_next();
    w.template prefetch<W>(b);
    if constexpr (W <= Source::kLineTokens) {
      __m512i high[W][2];
      line_dots(w, x, b, dot, high);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) dot[t][h] = with_high(dot[t][h], high[t][h]);
      }
    } else {
      block_dots(w, x, b, 0, dot);
    }
  }

  static __attribute__((always_inline)) void group(const Source& w, const BlockTile& x, int64_t begin, int64_t end,
                                                   float* sums, KeepNear& keep) {
    Sum total[W][2];
    for (int t = 0; t < W; ++t) total[t][0] = total[t][1] = zero_sum<kKind>();
    for (int64_t b = begin; b < end; ++b) {
      if constexpr (kKeeps) keep.touch_next();
      w.template prefetch<W>(b);
      if constexpr (W <= Source::kLineTokens) {
        add_lines(w, x, b, total);
      } else {
#pragma GCC unroll 2
        for (int half = 0; half < kHalves; ++half) add_block(w, x, b, half, total);
      }
      if constexpr (kInfo.bias) {
        const __m512 bias0 = w.bias(b, 0), bias1 = w.bias(b, 1);
        for (int t = 0; t < W; ++t) {
          const __m512 start = _mm512_set1_ps(static_cast<float>(x.start32[b * W + t]));
          total[t][0] = _mm512_fmadd_ps(start, bias0, total[t][0]);
          total[t][1] = _mm512_fmadd_ps(start, bias1, total[t][1]);
        }
      }
    }
    __m512 acc[W][2];
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      if constexpr (kInfo.int_scales) {
        const __m512 d = w.scale(begin, h);
        for (int t = 0; t < W; ++t) acc[t][h] = _mm512_mul_ps(_mm512_cvtepi32_ps(total[t][h]), d);
      } else {
        for (int t = 0; t < W; ++t) acc[t][h] = total[t][h];
      }
    }
    if constexpr (kInfo.mins) add_mins(w, x, begin, end, acc);
    for (int t = 0; t < W; ++t) {
      const __m512 x_scale = _mm512_set1_ps(x.scale[begin / kGroup * W + t]);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        float* sum = sums + t * kR + 16 * h;
        _mm512_store_ps(sum, _mm512_fmadd_ps(acc[t][h], x_scale, _mm512_load_ps(sum)));
      }
    }
  }

  // A block whose lines are loaded once and in order, and both codes of a byte used at once: sums of the low and of the high
  // nibbles' steps, the latter kHighShift bits too far left. Whole blocks: the low ones have the start value.
  static __attribute__((always_inline)) void line_dots(const Source& w, const BlockTile& x, int64_t b, __m512i (&low)[W][2],
                                                       __m512i (&high)[W][2]) {
    for (int t = 0; t < W; ++t) {
      low[t][0] = low[t][1] = kOffset ? start(x, b, 0, t) : _mm512_setzero_si512();
      high[t][0] = high[t][1] = kOffset && kHalves == 2 ? start(x, b, 1, t) : _mm512_setzero_si512();
    }
    const auto planes = w.planes(b);
    const int8_t* codes = x.codes + b * kBlockCols * W;
#pragma GCC unroll 4
    for (int step = 0; step < 4; ++step) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const auto w_codes = w.codes(b, step, h, planes);
        for (int t = 0; t < W; ++t) {
          low[t][h] = dot4(low[t][h], w_codes.low, codes + (step * W + t) * 4);
          high[t][h] = dot4(high[t][h], w_codes.high, codes + ((step + 4) * W + t) * 4);
        }
      }
    }
  }
  static __attribute__((always_inline)) __m512i with_high(__m512i low, __m512i high) {
    return _mm512_add_epi32(low, _mm512_srai_epi32(high, Source::kHighShift));
  }

  static __attribute__((always_inline)) void add_lines(const Source& w, const BlockTile& x, int64_t b,
                                                       Sum (&total)[W][2]) {
    __m512i low[W][2], high[W][2];
    line_dots(w, x, b, low, high);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const Sum scale = scale_of(w, b, 0, h), scale_high = scale_of(w, b, kHalves - 1, h);
      for (int t = 0; t < W; ++t) {
        if constexpr (kHalves == 2) {
          total[t][h] = add_scaled(add_scaled(total[t][h], low[t][h], scale), high[t][h], scale_high);
        } else {
          total[t][h] = add_scaled(total[t][h], with_high(low[t][h], high[t][h]), scale);
        }
      }
    }
  }

  static __attribute__((always_inline)) Sum scale_of(const Source& w, int64_t b, int half, int h) {
    if constexpr (kInfo.int_scales) {
      return w.int_scale(b, half, h);
    } else {
      return w.scale(b, h);
    }
  }

  static __attribute__((always_inline)) __m512i start(const BlockTile& x, int64_t b, int half, int t) {
    constexpr int shift = (kHalves == 2 ? 5 : 7) - Source::kOffsetShift;
    const int32_t start = kHalves == 2 ? x.start16[(b * 2 + half) * W + t] : x.start32[b * W + t];
    return _mm512_set1_epi32(shift == 0 ? start : start >> shift);
  }

  static __attribute__((always_inline)) void block_dots(const Source& w, const BlockTile& x, int64_t b, int half,
                                                        __m512i (&dot)[W][2]) {
    for (int t = 0; t < W; ++t) {
      dot[t][0] = dot[t][1] = kOffset ? start(x, b, half, t) : _mm512_setzero_si512();
    }
    const int8_t* codes = x.codes + (b * 8 + half * kSteps) * W * 4;
#pragma GCC unroll 8
    for (int step = 0; step < kSteps; ++step) {
      const __m512i w0 = w.code(b, half * kSteps + step, 0), w1 = w.code(b, half * kSteps + step, 1);
      for (int t = 0; t < W; ++t) {
        int32_t four;
        __builtin_memcpy(&four, codes + (step * W + t) * 4, 4);
        const __m512i xs = _mm512_set1_epi32(four);
        dot[t][0] = _mm512_dpbusd_epi32(dot[t][0], w0, xs);
        dot[t][1] = _mm512_dpbusd_epi32(dot[t][1], w1, xs);
      }
    }
  }

  static __attribute__((always_inline)) void add_block(const Source& w, const BlockTile& x, int64_t b, int half,
                                                       Sum (&total)[W][2]) {
    __m512i dot[W][2];
    block_dots(w, x, b, half, dot);
    const Sum scale0 = scale_of(w, b, half, 0), scale1 = scale_of(w, b, half, 1);
    for (int t = 0; t < W; ++t) {
      total[t][0] = add_scaled(total[t][0], dot[t][0], scale0);
      total[t][1] = add_scaled(total[t][1], dot[t][1], scale1);
    }
  }

  static __attribute__((always_inline)) void add_mins(const Source& w, const BlockTile& x, int64_t begin, int64_t end,
                                                      __m512 (&acc)[W][2]) {
    constexpr int64_t blocks = kKind == kScale32Min ? 2 : 1;  // of a pair
    const int16_t* pairs = kKind == kScale32Min ? x.pair32 : x.pair16;
    __m512i sums[W][2];
    for (int t = 0; t < W; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_si512();
    for (int64_t b = begin; b < end; b += blocks) {
      const __m512i m0 = w.mins(b, 0), m1 = w.mins(b, 1);
      for (int t = 0; t < W; ++t) {
        int32_t pair;
        __builtin_memcpy(&pair, pairs + (b / blocks * W + t) * 2, 4);
        sums[t][0] = _mm512_dpwssd_epi32(sums[t][0], m0, _mm512_set1_epi32(pair));
        sums[t][1] = _mm512_dpwssd_epi32(sums[t][1], m1, _mm512_set1_epi32(pair));
      }
    }
    const __m512 d0 = w.neg_d_min(begin, 0), d1 = w.neg_d_min(begin, 1);
    for (int t = 0; t < W; ++t) {
      acc[t][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][0]), d0, acc[t][0]);
      acc[t][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][1]), d1, acc[t][1]);
    }
  }
};

// Tiles of unpacked weights, 16 rows and W tokens at a time: integer sums, sums of a group and sums of the row all stay in
// registers, since a 64-byte store takes the place of two dot products. What it takes of GCC 12: loops unrolled before arrays become registers (the blocks of a group too), pointers that
// step, and the broadcast as a memory operand (it would load it into a register first).
template <BlockKind kind, int W>
struct UnpackedTile {
  static constexpr BlockKindInfo kInfo = block_kind_info(kind);
  static constexpr int kHalves = kInfo.halves;
  static constexpr int kSteps = 8 / kHalves;
  static constexpr int kGroup = kInfo.group_blocks;
  static constexpr int kPairs = kGroup * kHalves / 2;  // of a group, with minima
  using Sum = decltype(zero_sum<kind>());
  using Scale = std::conditional_t<kInfo.int_scales, int32_t, float>;

  struct At {
    const int8_t* codes;
    const int32_t* start;  // of the integer sums, or the activations' factor of the bias
    const int16_t* pairs;
    const float* x_scale;
    const uint8_t* w;
    const Scale* w_scale;  // of blocks
    const float* d;        // of groups, with int_scales
    const float* bias;
    const int16_t* mins;
    const float* neg_d_min;
    const char* next;  // codes to fetch into L1 meanwhile
  };

  static void run(const BlockTask& task, int h, const int8_t* next) {
    const TileOutput& out = task.out;
    const UnpackedPanel& w = *task.w;
    At at{task.x.codes,
          kHalves == 2 ? task.x.start16 : task.x.start32,
          kind == kScale32Min ? task.x.pair32 : task.x.pair16,
          task.x.scale,
          w.codes + 64 * h,
          scales(w) + 16 * h,
          w.scale + 16 * h,
          w.bias + 16 * h,
          w.mins + 32 * h,
          w.neg_d_min + 16 * h,
          reinterpret_cast<const char*>(next)};
    __m512 sums[W];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      const float* in = out.c_in + t * out.c_in_stride + 16 * h;
      sums[t] = out.c_in != nullptr ? _mm512_loadu_ps(in) : _mm512_setzero_ps();
    }
    // Sums of the row wait in units of row_scale, a power of two.
    const __m512 row_scale = _mm512_loadu_ps(w.scale + 16 * h);
    if (kInfo.row_scale && out.c_in != nullptr) {
      const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(1), row_scale);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) sums[t] = _mm512_mul_ps(sums[t], inverse);
    }
    int64_t b = 0;
    for (; b + kGroup <= task.blocks; b += kGroup) {
      if constexpr (kInfo.row_scale) {
        pair<2>(at, w.code_stride, sums);
      } else {
        group(at, w.code_stride, sums);
      }
    }
    if constexpr (kInfo.row_scale) {
      if (b < task.blocks) pair<1>(at, w.code_stride, sums);
    } else if constexpr (kGroup != kMostGroupBlocks) {
      if (b < task.blocks) rest(at, w.code_stride, task.blocks - b, sums);
    }
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      __m512 y = kInfo.row_scale ? _mm512_mul_ps(sums[t], row_scale) : sums[t];
      if (out.add != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(out.add + t * out.add_stride + 16 * h));
      _mm512_storeu_ps(out.c_out + t * out.c_out_stride + 16 * h, y);
    }
  }

  // With row_scale: two blocks, or the last one alone.
  template <int count>
  static __attribute__((always_inline)) void pair(At& at, int64_t code_stride, __m512 (&sums)[W]) {
    __m512i dot[2][W];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      if (i < count) {
        prefetch_next(at);
        block_dots(at, 0, dot[i]);
        at.w += code_stride;
      } else {
#pragma GCC unroll 8
        for (int t = 0; t < W; ++t) dot[i][t] = _mm512_setzero_si512();
      }
    }
    const __m512i scales = load(at.w_scale);
    at.w_scale += kR;
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      const __m512i pairs = as_pairs<kInfo.rounds ? sum_shift(7) : 0>(dot[0][t], dot[1][t]);
      const __m512 acc = _mm512_cvtepi32_ps(_mm512_madd_epi16(pairs, scales));
      sums[t] = _mm512_fmadd_ps(acc, _mm512_set1_ps(at.x_scale[t]), sums[t]);
    }
    at.x_scale += W;
  }

  static __attribute__((always_inline)) void group(At& at, int64_t code_stride, __m512 (&sums)[W]) {
    Sum total[W];
    __m512 acc[W];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) total[t] = zero_sum<kind>();
#pragma GCC unroll 4
    for (int i = 0; i < kGroup; ++i) block(at, code_stride, total);
    if constexpr (kInfo.int_scales) {
      const __m512 d = _mm512_loadu_ps(at.d);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) acc[t] = _mm512_mul_ps(_mm512_cvtepi32_ps(total[t]), d);
      at.d += kR;
    } else {
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) acc[t] = total[t];
    }
    if constexpr (kInfo.mins) add_mins(at, acc);
    add_group(at, acc, sums);
  }

  // The last columns of a row: fewer blocks than a group has.
  static __attribute__((always_inline)) void rest(At& at, int64_t code_stride, int64_t blocks, __m512 (&sums)[W]) {
    __m512 acc[W];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) acc[t] = _mm512_setzero_ps();
#pragma GCC unroll 1
    for (int64_t i = 0; i < blocks; ++i) block(at, code_stride, acc);
    add_group(at, acc, sums);
  }

  static __attribute__((always_inline)) const Scale* scales(const UnpackedPanel& w) {
    if constexpr (kInfo.int_scales) {
      return w.int_scale;
    } else {
      return w.scale;
    }
  }

  static __attribute__((always_inline)) void block(At& at, int64_t code_stride, Sum (&total)[W]) {
    prefetch_next(at);
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) add_block(at, half, total);
    if constexpr (kInfo.bias) {
      const __m512 bias = _mm512_loadu_ps(at.bias);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) {
        total[t] = _mm512_fmadd_ps(_mm512_set1_ps(static_cast<float>(at.start[t])), bias, total[t]);
      }
      at.bias += kR;
      at.start += W;
    }
    at.w += code_stride;
  }

  static __attribute__((always_inline)) void prefetch_next(At& at) {
    for (int line = 0; line < W * kBlockCols; line += 64) _mm_prefetch(at.next + line, _MM_HINT_T0);
    at.next += W * kBlockCols;
  }

  static __attribute__((always_inline)) void add_group(At& at, __m512 (&acc)[W], __m512 (&sums)[W]) {
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) sums[t] = _mm512_fmadd_ps(acc[t], _mm512_set1_ps(at.x_scale[t]), sums[t]);
    at.x_scale += W;
  }

  static __attribute__((always_inline)) void block_dots(At& at, int half, __m512i (&dot)[W]) {
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) dot[t] = kInfo.offset ? _mm512_set1_epi32(at.start[t]) : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int step = 0; step < kSteps; ++step) {
      const __m512i codes = load(at.w + 128 * (half * kSteps + step));
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) dot[t] = dot4(dot[t], codes, at.codes + (step * W + t) * 4);
    }
    at.codes += W * 4 * kSteps;
    if (kInfo.offset) at.start += W;
  }

  static __attribute__((always_inline)) void add_block(At& at, int half, Sum (&total)[W]) {
    __m512i dot[W];
    block_dots(at, half, dot);
    Sum scale;
    __builtin_memcpy(&scale, at.w_scale, sizeof(scale));
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) total[t] = add_scaled(total[t], dot[t], scale);
    at.w_scale += kR;
  }

  static __attribute__((always_inline)) void add_mins(At& at, __m512 (&acc)[W]) {
    __m512i sums[W];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) sums[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      const __m512i mins = load(at.mins + i * 2 * kR);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) sums[t] = dot2(sums[t], mins, at.pairs + (i * W + t) * 2);
    }
    const __m512 neg_d_min = _mm512_loadu_ps(at.neg_d_min);
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), neg_d_min, acc[t]);
    at.mins += kPairs * 2 * kR;
    at.pairs += kPairs * 2 * W;
    at.neg_d_min += kR;
  }
};

// Not by_width(): called through it, GCC 12's code of the one-token tile reads memory 4 to 6 % slower.
template <class Source>
void run(const Source& source, const BlockTask& task) {
  switch (task.x.width) {
    case 1: return Tile<Source, 1>::run(source, task);
    case 2: return Tile<Source, 2>::run(source, task);
    case 3: return Tile<Source, 3>::run(source, task);
    case 4: return Tile<Source, 4>::run(source, task);
    case 5: return Tile<Source, 5>::run(source, task);
    case 6: return Tile<Source, 6>::run(source, task);
    case 7: return Tile<Source, 7>::run(source, task);
    default: return Tile<Source, 8>::run(source, task);
  }
}

template <int codec>
void few(const BlockTask& task) {
  if (task.ahead != nullptr) return run(Packed<codec, false>{task.panel, task.ahead, task.ahead_bytes}, task);
  run(Packed<codec, true>{task.panel}, task);
}
// Rows that a tile adds to at its end stand a whole row of the output apart and come from memory or the last cache.
TESSERA_STATIC_INLINE void prefetch_added(const BlockTask& task) {
  const TileOutput& out = task.out;
  for (int64_t t = 0; t < task.x.width && out.add != nullptr; ++t) {
    const auto* row = reinterpret_cast<const char*>(out.add + t * out.add_stride);
    _mm_prefetch(row, _MM_HINT_T0);
    _mm_prefetch(row + 64, _MM_HINT_T0);
  }
}

template <BlockKind kind>
void many(const BlockTask* tiles, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const BlockTask& task = tiles[i];
    for (int64_t at = 0; at < task.ahead_bytes; at += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(task.ahead + at), _MM_HINT_T1);
    }
    // The second half asks for the activations of the next tile. (Both halves, or the first: up to 4 % slower.)
    const BlockTask& after = tiles[i + 1 < count ? i + 1 : 0];
    const int8_t* next = after.x.codes;
    prefetch_added(after);
    by_width(task.x.width, [&](auto width) {
      for (int h = 0; h < 2; ++h) UnpackedTile<kind, decltype(width)::value>::run(task, h, h == 0 ? task.x.codes : next);
    });
  }
}

template <int codec>
void unpack(const uint8_t* panel, int64_t first, int64_t blocks, UnpackedPanel& out) {
  const Packed<codec, true> w{panel};
  constexpr BlockKindInfo info = block_kind_info(Packed<codec, true>::kKind);
  constexpr int halves = info.halves, group = info.group_blocks;
  // Codes get one offset, by an addition; where sums are rounded they are rounded alike, and codes are shifted instead.
  constexpr int shift = info.rounds ? 7 - Packed<codec, true>::kShift : 0;
  constexpr bool adds = Packed<codec, true>::kShift >= 0 && !info.rounds;
  constexpr int offset = adds ? (halves == 2 ? 32 : 128) - (1 << Packed<codec, true>::kShift) : 0;
  out.offset_shift = Packed<codec, true>::kShift < 0 ? -1 : halves == 2 ? 5 : 7;
  out.codes = codec == kPackedQ8_0 ? w.block(first) : out.code_memory;
  out.code_stride = codec == kPackedQ8_0 ? Packed<codec, true>::kLayout.group_bytes : kUnpackedBlockBytes;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t b = first + i;
    for (int h = 0; h < 2; ++h) {
      if constexpr (codec != kPackedQ8_0) {
#pragma GCC unroll 8
        for (int step = 0; step < 8; ++step) {
          __m512i code = w.code(b, step, h);
          if constexpr (shift > 0) code = _mm512_slli_epi16(code, shift);
          code = _mm512_add_epi8(code, _mm512_set1_epi8(static_cast<char>(offset)));
          _mm512_storeu_si512(out.code_memory + i * kUnpackedBlockBytes + step * 128 + 64 * h, code);
        }
      }
      if constexpr (info.row_scale) {
        if (i == 0) _mm512_storeu_ps(out.scale + 16 * h, w.scale(b, h));
        if (i % 2 == 0) _mm512_storeu_si512(out.int_scale + i / 2 * kR + 16 * h, w.scale_pairs(b, h));
      } else if constexpr (!info.int_scales) {
        _mm512_storeu_ps(out.scale + i * kR + 16 * h, w.scale(b, h));
      } else {
        if (i % group == 0) _mm512_storeu_ps(out.scale + i / group * kR + 16 * h, w.scale(b, h));
        for (int half = 0; half < halves; ++half) {
          _mm512_storeu_si512(out.int_scale + (i * halves + half) * kR + 16 * h, w.int_scale(b, half, h));
        }
      }
      if constexpr (info.bias) _mm512_storeu_ps(out.bias + i * kR + 16 * h, w.bias(b, h));
      if constexpr (info.mins) {
        constexpr int64_t of_pair = 2 / halves;
        if (i % of_pair == 0) _mm512_storeu_si512(out.mins + (i / of_pair * kR + 16 * h) * 2, w.mins(b, h));
        if (i % group == 0) _mm512_storeu_ps(out.neg_d_min + i / group * kR + 16 * h, w.neg_d_min(b, h));
      }
    }
  }
}

// One scale per row: nothing but dot products between the first and the last column. Bound: the vpdpbusd peak.
template <int W>
void row_tile(const RowTask& task) {
  const TileOutput& out = task.out;
  __m512i dot[W][2];
#pragma GCC unroll 8
  for (int t = 0; t < W; ++t) dot[t][0] = dot[t][1] = _mm512_set1_epi32(-128 * task.x.sum[t]);
  for (int64_t step = 0; step < task.cols / 4; ++step) {
    const __m512i w0 = load(task.panel + step * 128), w1 = load(task.panel + step * 128 + 64);
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      const int8_t* x = task.x.codes + (step * W + t) * 4;
      dot[t][0] = dot4(dot[t][0], w0, x);
      dot[t][1] = dot4(dot[t][1], w1, x);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < W; ++t) {
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(task.row_scale + 16 * h), _mm512_set1_ps(task.x.scale[t]));
      __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[t][h]), scale);
      if (out.add != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(out.add + t * out.add_stride + 16 * h));
      _mm512_storeu_ps(out.c_out + t * out.c_out_stride + 16 * h, y);
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
  table.row_w8 = row_w8;
  for_each<kBlockKinds>([&](auto kind) { table.many[kind.value] = many<static_cast<BlockKind>(kind.value)>; });
}

}  // namespace tessera::avx512_vnni
