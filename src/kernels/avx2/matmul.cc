// Matmul on AVX2 and FMA, without dot-product instructions: integer products by maddubs (u8 x s8 -> s16 pairs) and
// madd.
//
// The same panels and the same sums as every other layer. A 32-row panel is walked in four strips of 8 rows (one
// register of integer sums per token), up to 6 tokens: 6 integer sums in registers; float sums of the group live in L1.
// maddubs saturates at 2 * code * 127 > 32767: codes up to 129 go in as they are; q8_0 and iq4 codes are made signed
// and split into magnitude and sign, the sign moving to the activation. Bound: half of the maddubs + madd + add rate.
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
TESSERA_STATIC_INLINE __m256 unsigned_to_float(__m128i bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}
TESSERA_STATIC_INLINE __m256 signed_to_float(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }
TESSERA_STATIC_INLINE __m256 negate(__m256 v) { return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f)); }
TESSERA_STATIC_INLINE __m256i pair_up(__m128i a, __m128i b) { return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)); }

constexpr bool needs_sign(int codec) {
  return codec == kPackedQ8_0 || codec == kPackedIQ4_NL || codec == kPackedIQ4_XS;
}

// Weights of a packed panel, 8 rows at a time (`strip`).
template <int codec>
struct Packed {
  static constexpr BlockLayout kLayout = block_layout(codec);
  static constexpr BlockKind kKind = kLayout.kind;
  const uint8_t* panel;

  inline __attribute__((always_inline)) const uint8_t* group(int64_t b) const {
    return panel + b / kLayout.group_blocks * kLayout.group_bytes;
  }
  inline __attribute__((always_inline)) const uint8_t* block(int64_t b) const {
    return group(b) + kLayout.blocks_at + b % kLayout.group_blocks * kLayout.block_bytes;
  }

  inline __attribute__((always_inline)) __m256i code(int64_t b, int step, int strip) const {
    const uint8_t* p = block(b) + 32 * strip;
    if constexpr (codec == kPackedQ8_0) return load(p + 128 * step);
    __m256i v = _mm256_setzero_si256();
    if constexpr (kLayout.nibbles != 0) {
      v = load(p + 128 * (step % 4));
      v = _mm256_and_si256(step < 4 ? v : _mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
    }
    if constexpr (kLayout.pairs_at >= 0) {
      v = merge(v, shifted(load(p + kLayout.pairs_at + 128 * (step / 4)), kLayout.nibbles - 2 * (step % 4)),
                3 << kLayout.nibbles);
    }
    if constexpr (kLayout.bits_at >= 0) {
      constexpr int position = kLayout.nibbles != 0 ? 4 : 2;
      v = merge(v, shifted(load(p + kLayout.bits_at), position - step), 1 << position);
    }
    if constexpr (codec == kPackedIQ4_NL || codec == kPackedIQ4_XS) return lookup(kIq4Codes, v);
    if constexpr (codec == kPackedMXFP4) return lookup(kMxfp4Codes, v);
    return v;
  }

  inline __attribute__((always_inline)) __m256 scale(int64_t b, int half, int strip) const {
    const uint8_t* g = group(b);
    const int64_t i = b % kLayout.group_blocks;
    if constexpr (codec == kPackedMXFP4) return e8m0_half(load8(g + 8 * strip));
    const __m256 d = load_f16(g, strip);
    if constexpr (kKind == kScale32Min) return _mm256_mul_ps(d, unsigned_to_float(load8(g + (4 + i) * kR + 8 * strip)));
    if constexpr (kKind == kScale16Min) {
      const __m128i nibbles = _mm_and_si128(load8(g + (4 + 2 * i + half) * kR + 8 * strip), _mm_set1_epi8(0x0f));
      return _mm256_mul_ps(d, unsigned_to_float(nibbles));
    }
    if constexpr (kKind == kScale16) {
      return _mm256_mul_ps(d, signed_to_float(load8(g + (2 + 2 * i + half) * kR + 8 * strip)));
    }
    if constexpr (codec == kPackedIQ4_XS) return _mm256_mul_ps(d, signed_to_float(load8(g + (2 + i) * kR + 8 * strip)));
    return d;
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

template <BlockKind kind>
struct Unpacked {
  static constexpr BlockKind kKind = kind;
  static constexpr int kHalves = kind == kScale16 || kind == kScale16Min ? 2 : 1;
  const UnpackedPanel& w;

  inline __attribute__((always_inline)) __m256i code(int64_t b, int step, int strip) const {
    return load(w.codes + b * w.code_stride + 128 * step + 32 * strip);
  }
  inline __attribute__((always_inline)) __m256 scale(int64_t b, int half, int strip) const {
    return _mm256_loadu_ps(w.scale + (b * kHalves + half) * kR + 8 * strip);
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

// Four codes times four activations, summed, in each 32-bit lane.
template <bool kSign>
TESSERA_STATIC_INLINE __m256i dot4(__m256i code, __m256i x) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (!kSign) return _mm256_madd_epi16(_mm256_maddubs_epi16(code, x), ones);
  const __m256i w = _mm256_xor_si256(code, _mm256_set1_epi8(static_cast<char>(0x80)));
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), ones);
}

// kSign: codes have offset 128, which the sign trick takes out.
template <class Source, int W, bool kSign>
struct Tile {
  static constexpr BlockKind kKind = Source::kKind;
  static constexpr int kHalves = kKind == kScale16 || kKind == kScale16Min ? 2 : 1;
  static constexpr int kSteps = 8 / kHalves;
  static constexpr int64_t kGroup = activation_blocks(kKind);
  static constexpr bool kMins = kKind == kScale32Min || kKind == kScale16Min;
  static constexpr bool kOffset = (kKind == kScale32 || kKind == kScale16) && !kSign;

  static void run(const Source& w, const BlockTask& task, int shift) {
    const TileOutput& out = task.out;
    const __m128i count = _mm_cvtsi32_si128((kHalves == 2 ? 5 : 7) - shift);
    for (int strip = 0; strip < 4; ++strip) {
      alignas(32) float sums[W * 8];
      for (int t = 0; t < W; ++t) {
        const float* in = out.c_in + t * out.c_in_stride + 8 * strip;
        _mm256_store_ps(sums + 8 * t, out.c_in != nullptr ? _mm256_loadu_ps(in) : _mm256_setzero_ps());
      }
      for (int64_t begin = 0; begin < task.blocks; begin += kGroup) {
        const int64_t end = task.blocks - begin < kGroup ? task.blocks : begin + kGroup;
        group(w, task.x, begin, end, strip, count, sums);
      }
      for (int t = 0; t < W; ++t) {
        __m256 y = _mm256_load_ps(sums + 8 * t);
        if (out.add != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(out.add + t * out.add_stride + 8 * strip));
        _mm256_storeu_ps(out.c_out + t * out.c_out_stride + 8 * strip, y);
      }
    }
  }

  static inline __attribute__((always_inline)) void group(const Source& w, const BlockTile& x, int64_t begin,
                                                          int64_t end, int strip, __m128i count, float* sums) {
    __m256 acc[W];
    for (int t = 0; t < W; ++t) acc[t] = _mm256_setzero_ps();
    for (int64_t b = begin; b < end; ++b) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) add_block(w, x, b, half, strip, count, acc);
      if constexpr (kKind == kScale32Bias) {
        const __m256 bias = w.bias(b, strip);
        for (int t = 0; t < W; ++t) {
          acc[t] = _mm256_fmadd_ps(_mm256_set1_ps(static_cast<float>(x.start32[b * W + t])), bias, acc[t]);
        }
      }
    }
    if constexpr (kMins) add_mins(w, x, begin, end, strip, acc);
    for (int t = 0; t < W; ++t) {
      const __m256 x_scale = _mm256_set1_ps(x.scale[begin / kGroup * W + t]);
      _mm256_store_ps(sums + 8 * t, _mm256_fmadd_ps(acc[t], x_scale, _mm256_load_ps(sums + 8 * t)));
    }
  }

  static inline __attribute__((always_inline)) void add_block(const Source& w, const BlockTile& x, int64_t b, int half,
                                                              int strip, __m128i count, __m256 (&acc)[W]) {
    __m256i dot[W];
    for (int t = 0; t < W; ++t) {
      dot[t] = _mm256_setzero_si256();
      if constexpr (kOffset) {
        const int32_t* start = kHalves == 2 ? x.start16 + (b * 2 + half) * W + t : x.start32 + b * W + t;
        dot[t] = _mm256_sra_epi32(_mm256_set1_epi32(*start), count);
      }
    }
    const int8_t* codes = x.codes + (b * 8 + half * kSteps) * W * 4;
#pragma GCC unroll 8
    for (int step = 0; step < kSteps; ++step) {
      const __m256i code = w.code(b, half * kSteps + step, strip);
      for (int t = 0; t < W; ++t) {
        int32_t four;
        __builtin_memcpy(&four, codes + (step * W + t) * 4, 4);
        dot[t] = _mm256_add_epi32(dot[t], dot4<kSign>(code, _mm256_set1_epi32(four)));
      }
    }
    const __m256 scale = w.scale(b, half, strip);
    for (int t = 0; t < W; ++t) acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t]), scale, acc[t]);
  }

  static inline __attribute__((always_inline)) void add_mins(const Source& w, const BlockTile& x, int64_t begin,
                                                             int64_t end, int strip, __m256 (&acc)[W]) {
    constexpr int64_t blocks = kKind == kScale32Min ? 2 : 1;  // of a pair
    const int16_t* pairs = kKind == kScale32Min ? x.pair32 : x.pair16;
    __m256i sums[W];
    for (int t = 0; t < W; ++t) sums[t] = _mm256_setzero_si256();
    for (int64_t b = begin; b < end; b += blocks) {
      const __m256i m = w.mins(b, strip);
      for (int t = 0; t < W; ++t) {
        int32_t pair;
        __builtin_memcpy(&pair, pairs + (b / blocks * W + t) * 2, 4);
        sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(m, _mm256_set1_epi32(pair)));
      }
    }
    const __m256 d = w.neg_d_min(begin, strip);
    for (int t = 0; t < W; ++t) acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), d, acc[t]);
  }
};

template <bool kSign, class Source>
void run(const Source& source, const BlockTask& task, int shift) {
  switch (task.x.width) {
    case 1: return Tile<Source, 1, kSign>::run(source, task, shift);
    case 2: return Tile<Source, 2, kSign>::run(source, task, shift);
    case 3: return Tile<Source, 3, kSign>::run(source, task, shift);
    case 4: return Tile<Source, 4, kSign>::run(source, task, shift);
    case 5: return Tile<Source, 5, kSign>::run(source, task, shift);
    case 6: return Tile<Source, 6, kSign>::run(source, task, shift);
    case 7: return Tile<Source, 7, kSign>::run(source, task, shift);
    default: return Tile<Source, 8, kSign>::run(source, task, shift);
  }
}

template <int codec>
void few(const BlockTask& task) {
  run<needs_sign(codec)>(Packed<codec>{task.panel}, task, block_layout(codec).offset_shift);
}
template <BlockKind kind>
void many_tile(const BlockTask& task) {
  // Only q8_0 and iq4 have codes too large for maddubs, and only they have offset 128.
  if (kind == kScale32 && task.w->offset_shift == 7) return run<kind == kScale32>(Unpacked<kind>{*task.w}, task, 7);
  run<false>(Unpacked<kind>{*task.w}, task, task.w->offset_shift);
}
template <BlockKind kind>
void many(const BlockTask* tiles, int64_t count) {
  for (int64_t i = 0; i < count; ++i) many_tile<kind>(tiles[i]);
}

template <int codec>
void unpack(const uint8_t* panel, int64_t first, int64_t blocks, UnpackedPanel& out) {
  const Packed<codec> w{panel};
  constexpr BlockLayout layout = block_layout(codec);
  constexpr BlockKind kind = layout.kind;
  constexpr int halves = kind == kScale16 || kind == kScale16Min ? 2 : 1;
  out.offset_shift = layout.offset_shift;
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
      for (int half = 0; half < halves; ++half) {
        _mm256_storeu_ps(out.scale + (i * halves + half) * kR + 8 * strip, w.scale(b, half, strip));
      }
      if constexpr (kind == kScale32Bias) _mm256_storeu_ps(out.bias + i * kR + 8 * strip, w.bias(b, strip));
      if constexpr (kind == kScale32Min || kind == kScale16Min) {
        constexpr int64_t of_pair = kind == kScale32Min ? 2 : 1;
        if (i % of_pair == 0) {
          auto* to = out.mins + (i / of_pair * kR + 8 * strip) * 2;
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), w.mins(b, strip));
        }
        _mm256_storeu_ps(out.neg_d_min + i / kMostGroupBlocks * kR + 8 * strip, w.neg_d_min(b, strip));
      }
    }
  }
}

// ---- float weights ----

struct RowsF32 {
  const float* w;
  inline __attribute__((always_inline)) __m256 at(int64_t k, int strip) const {
    return _mm256_loadu_ps(w + k * kR + 8 * strip);
  }
};
struct RowsF16 {
  const uint16_t* w;
  inline __attribute__((always_inline)) __m256 at(int64_t k, int strip) const {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + k * kR + 8 * strip)));
  }
};
struct RowsBf16 {
  const uint16_t* w;
  inline __attribute__((always_inline)) __m256 at(int64_t k, int strip) const {
    const __m256i pair = load(w + (k / 2 * kR + 8 * strip) * 2);
    return _mm256_castsi256_ps(k % 2 == 0 ? _mm256_slli_epi32(pair, 16)
                                          : _mm256_and_si256(pair, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
  }
};

// Two strips of 8 rows x W of the tile's `width` tokens from `first` on.
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
    const __m256 w0 = w.at(k, strip), w1 = w.at(k, strip + 1);
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

void row_w8(const RowTask& task) {
  const int64_t width = task.x.width;
  for (int64_t t = 0; t < width; ++t) {
    for (int strip = 0; strip < 4; ++strip) {
      __m256i sums = _mm256_setzero_si256();
      for (int64_t step = 0; step < task.cols / 4; ++step) {
        int32_t four;
        __builtin_memcpy(&four, task.x.codes + (step * width + t) * 4, 4);
        sums = _mm256_add_epi32(sums, dot4<true>(load(task.panel + step * 128 + 32 * strip), _mm256_set1_epi32(four)));
      }
      const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(task.row_scale + 8 * strip), _mm256_set1_ps(task.x.scale[t]));
      __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale);
      const TileOutput& out = task.out;
      if (out.add != nullptr) y = _mm256_add_ps(y, _mm256_loadu_ps(out.add + t * out.add_stride + 8 * strip));
      _mm256_storeu_ps(out.c_out + t * out.c_out_stride + 8 * strip, y);
    }
  }
}

template <int... codec>
struct Codecs {
  static void apply(MatmulKernels& table) {
    ((table.few[codec] = few<codec>, table.unpack[codec] = unpack<codec>), ...);
  }
};

}  // namespace

void apply(MatmulKernels& table) {
  Codecs<kPackedQ8_0, kPackedQ4_0, kPackedQ4_1, kPackedQ5_0, kPackedQ5_1, kPackedQ2_K, kPackedQ3_K, kPackedQ4_K,
         kPackedQ5_K, kPackedQ6_K, kPackedIQ4_NL, kPackedIQ4_XS, kPackedMXFP4>::apply(table);
  table.many[kScale32] = many<kScale32>;
  table.many[kScale32Bias] = many<kScale32Bias>;
  table.many[kScale32Min] = many<kScale32Min>;
  table.many[kScale16] = many<kScale16>;
  table.many[kScale16Min] = many<kScale16Min>;
  table.float_f32 = float_f32;
  table.float_f16 = float_f16;
  table.float_bf16 = float_bf16;
  table.row_w8 = row_w8;
}

}  // namespace tessera::avx2
