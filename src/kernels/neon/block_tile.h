// Matmul of block-quantized weights for the NEON layers, written once over dot4(): sums of four products in each 32-bit
// lane. neon_dotprod/ compiles it with the sdot instruction, neon/ with widening multiplies, which every AArch64
// processor has. Included by one file per layer, so everything has internal linkage.
//
// The same panels and the same sums as every other layer. A register holds one step (4 columns) of 4 rows. sdot
// multiplies signed by signed bytes: codes up to 127 go in as they are, those with offset 128 are made signed by
// flipping their top bit. Activations stand as [step][token][4]: 16 bytes are loaded and the instruction picks the
// token's lane. A tile is up to 8 tokens x 8 rows (16 sums in 32 registers), 16 rows for 2 or 3 tokens, the whole panel
// for one, so that one token walks the panel once. Bound: the sdot rate, less two operations (convert, multiply-add;
// super-blocks one, kinds with row_scale a shift and a multiply-add) per 8 sdot. Checked for correctness only, never timed: docs/performance.md.
#ifndef TESSERA_KERNELS_NEON_BLOCK_TILE_H_
#define TESSERA_KERNELS_NEON_BLOCK_TILE_H_

#include "kernels/neon/packed.h"

namespace tessera {
namespace {

// sum + the products of four rows' codes with the four activations of word `word` at x. With sdot, `word` is a constant
// after unrolling and the instruction picks the lane; the words in front of it in its 16 bytes are there, those behind
// it too.
#if defined(__ARM_FEATURE_DOTPROD)
constexpr int kUnrolledSteps = 8;
TESSERA_STATIC_INLINE int32x4_t dot4(int32x4_t sum, int8x16_t code, const int8_t* x, int word) {
  const int8x16_t four_words = vld1q_s8(x + word / 4 * 16);
  switch (word % 4) {
    case 0: return vdotq_laneq_s32(sum, code, four_words, 0);
    case 1: return vdotq_laneq_s32(sum, code, four_words, 1);
    case 2: return vdotq_laneq_s32(sum, code, four_words, 2);
    default: return vdotq_laneq_s32(sum, code, four_words, 3);
  }
}
#else
constexpr int kUnrolledSteps = 1;  // more: three times the code, and minutes to compile
// Two products fit 16 bits: activations are at most 127, codes at most 128 in magnitude.
TESSERA_STATIC_INLINE int32x4_t dot4(int32x4_t sum, int8x16_t code, const int8_t* x, int word) {
  int32_t four;
  __builtin_memcpy(&four, x + 4 * word, 4);
  const int8x16_t spread = vreinterpretq_s8_s32(vdupq_n_s32(four));
  const int16x8_t low = vmull_s8(vget_low_s8(code), vget_low_s8(spread));
  return vpadalq_s16(sum, vpaddq_s16(low, vmull_high_s8(code, spread)));
}
#endif

// A block's integer sum times its scale, added to the sum of its group: as integers where scales are, or as floats.
TESSERA_STATIC_INLINE int32x4_t add_scaled(int32x4_t sum, int32x4_t dot, int32x4_t scale) {
  return vmlaq_s32(sum, dot, scale);
}
TESSERA_STATIC_INLINE float32x4_t add_scaled(float32x4_t sum, int32x4_t dot, float32x4_t scale) {
  return vfmaq_f32(sum, vcvtq_f32_s32(dot), scale);
}
template <BlockKind kind>
TESSERA_STATIC_INLINE auto zero_sum() {
  if constexpr (block_kind_info(kind).int_scales) {
    return vdupq_n_s32(0);
  } else {
    return vdupq_n_f32(0);
  }
}

constexpr int tile_vectors(int width) { return width == 1 ? 8 : width <= 3 ? 4 : 2; }

// Weights of an unpacked range.
template <BlockKind kind>
struct Unpacked {
  static constexpr BlockKind kKind = kind;
  static constexpr BlockKindInfo kInfo = block_kind_info(kind);
  const UnpackedPanel& w;

  inline __attribute__((always_inline)) uint8x16_t code(int64_t b, int step, int vector) const {
    return vld1q_u8(w.codes + b * w.code_stride + 128 * step + 16 * vector);
  }
  inline __attribute__((always_inline)) float32x4_t scale(int64_t b, int vector) const {
    const int64_t of = kInfo.row_scale ? 0 : kInfo.int_scales ? b / kInfo.group_blocks : b;
    return vld1q_f32(w.scale + of * kPanelRows + 4 * vector);
  }
  inline __attribute__((always_inline)) int32x4_t int_scale(int64_t b, int half, int vector) const {
    return vld1q_s32(w.int_scale + (b * kInfo.halves + half) * kPanelRows + 4 * vector);
  }
  inline __attribute__((always_inline)) float32x4_t bias(int64_t b, int vector) const {
    return vld1q_f32(w.bias + b * kPanelRows + 4 * vector);
  }
  inline __attribute__((always_inline)) float32x4_t neg_d_min(int64_t b, int vector) const {
    return vld1q_f32(w.neg_d_min + b / kMostGroupBlocks * kPanelRows + 4 * vector);
  }
  inline __attribute__((always_inline)) int16x4x2_t mins(int64_t b, int vector) const {
    return vld2_s16(w.mins + ((kind == kScale32Min ? b / 2 : b) * kPanelRows + 4 * vector) * 2);
  }
};

// kSigned: codes have offset 128, which flipping the top bit takes out.
template <class Source, int W, bool kSigned>
struct Tile {
  static constexpr BlockKind kKind = Source::kKind;
  static constexpr int V = tile_vectors(W);
  static constexpr BlockKindInfo kInfo = block_kind_info(kKind);
  static constexpr int kHalves = kInfo.halves;
  static constexpr int kSteps = 8 / kHalves;
  static constexpr int64_t kGroup = kInfo.group_blocks;
  static constexpr bool kOffset = kInfo.offset && !kSigned;
  using Sum = decltype(zero_sum<kKind>());

  static void run(const Source& w, const BlockTask& task, int offset_shift) {
    const TileOutput& out = task.out;
    const int shift = (kHalves == 2 ? 5 : 7) - offset_shift;
    for (int first = 0; first < kPanelRows / 4; first += V) {
      float sums[W * V * 4];
      for (int t = 0; t < W; ++t) {
        for (int v = 0; v < V; ++v) {
          const float* in = out.c_in + t * out.c_in_stride + 4 * (first + v);
          vst1q_f32(sums + 4 * (t * V + v), out.c_in != nullptr ? vld1q_f32(in) : vdupq_n_f32(0));
        }
      }
      for (int64_t begin = 0; begin < task.blocks; begin += kGroup) {
        const int64_t end = task.blocks - begin < kGroup ? task.blocks : begin + kGroup;
        group(w, task.x, begin, end, first, shift, sums);
      }
      for (int t = 0; t < W; ++t) {
        for (int v = 0; v < V; ++v) {
          float32x4_t y = vld1q_f32(sums + 4 * (t * V + v));
          if (out.add != nullptr) y = vaddq_f32(y, vld1q_f32(out.add + t * out.add_stride + 4 * (first + v)));
          vst1q_f32(out.c_out + t * out.c_out_stride + 4 * (first + v), y);
        }
      }
    }
  }

  static inline __attribute__((always_inline)) void group(const Source& w, const BlockTile& x, int64_t begin,
                                                          int64_t end, int first, int shift, float* sums) {
    Sum total[W][V];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) total[t][v] = zero_sum<kKind>();
    }
    for (int64_t b = begin; b < end; ++b) {
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) add_block(w, x, b, half, first, shift, total);
      if constexpr (kInfo.bias) add_bias(w, x, b, first, total);
    }
    float32x4_t acc[W][V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if constexpr (kInfo.int_scales) {
        const float32x4_t d = w.scale(begin, first + v);
#pragma GCC unroll 8
        for (int t = 0; t < W; ++t) acc[t][v] = vmulq_f32(vcvtq_f32_s32(total[t][v]), d);
      } else {
#pragma GCC unroll 8
        for (int t = 0; t < W; ++t) acc[t][v] = total[t][v];
      }
    }
    if constexpr (kInfo.mins) add_mins(w, x, begin, end, first, acc);
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      const float x_scale = x.scale[begin / kGroup * W + t];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        float* sum = sums + 4 * (t * V + v);
        vst1q_f32(sum, vfmaq_n_f32(vld1q_f32(sum), acc[t][v], x_scale));
      }
    }
  }

  static inline __attribute__((always_inline)) void add_block(const Source& w, const BlockTile& x, int64_t b, int half,
                                                              int first, int shift, Sum (&total)[W][V]) {
    int32x4_t dot[W][V];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
      const int32_t* start = !kOffset ? nullptr : kHalves == 2 ? x.start16 + (b * 2 + half) * W + t : x.start32 + b * W + t;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) dot[t][v] = vdupq_n_s32(kOffset ? *start >> shift : kInfo.rounds ? x.rounding[b % 2] : 0);
    }
    const int8_t* codes = x.codes + (b * 8 + half * kSteps) * W * 4;
#pragma GCC unroll kUnrolledSteps
    for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        uint8x16_t code = w.code(b, half * kSteps + step, first + v);
        if constexpr (kSigned) code = veorq_u8(code, vdupq_n_u8(0x80));
#pragma GCC unroll 8
        for (int t = 0; t < W; ++t) {
          dot[t][v] = dot4(dot[t][v], vreinterpretq_s8_u8(code), codes, step * W + t);
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Sum scale = scale_of(w, b, half, first + v);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) {
        if constexpr (kInfo.row_scale) dot[t][v] = vshlq_s32(dot[t][v], vdupq_n_s32(-sum_shift(7 - shift)));
        total[t][v] = add_scaled(total[t][v], dot[t][v], scale);
      }
    }
  }

  static inline __attribute__((always_inline)) Sum scale_of(const Source& w, int64_t b, int half, int vector) {
    if constexpr (kInfo.int_scales) {
      return w.int_scale(b, half, vector);
    } else {
      return w.scale(b, vector);
    }
  }

  static inline __attribute__((always_inline)) void add_bias(const Source& w, const BlockTile& x, int64_t b, int first,
                                                             float32x4_t (&acc)[W][V]) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const float32x4_t bias = w.bias(b, first + v);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) acc[t][v] = vfmaq_n_f32(acc[t][v], bias, static_cast<float>(x.start32[b * W + t]));
    }
  }

  static inline __attribute__((always_inline)) void add_mins(const Source& w, const BlockTile& x, int64_t begin,
                                                             int64_t end, int first, float32x4_t (&acc)[W][V]) {
    constexpr int64_t blocks = kKind == kScale32Min ? 2 : 1;  // of a pair
    const int16_t* pairs = kKind == kScale32Min ? x.pair32 : x.pair16;
    int32x4_t sums[W][V];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sums[t][v] = vdupq_n_s32(0);
    }
    for (int64_t b = begin; b < end; b += blocks) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const int16x4x2_t m = w.mins(b, first + v);
#pragma GCC unroll 8
        for (int t = 0; t < W; ++t) {
          const int16_t* pair = pairs + (b / blocks * W + t) * 2;
          sums[t][v] = vmlal_n_s16(vmlal_n_s16(sums[t][v], m.val[0], pair[0]), m.val[1], pair[1]);
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const float32x4_t d = w.neg_d_min(begin, first + v);
#pragma GCC unroll 8
      for (int t = 0; t < W; ++t) acc[t][v] = vfmaq_f32(acc[t][v], vcvtq_f32_s32(sums[t][v]), d);
    }
  }
};

template <bool kSigned, class Source>
void run(const Source& source, const BlockTask& task, int offset_shift) {
  by_width(task.x.width, [&](auto width) {
    Tile<Source, decltype(width)::value, kSigned>::run(source, task, offset_shift);
  });
}

template <int codec>
void few(const BlockTask& task) {
  run<has_offset_128(codec)>(Packed<codec>{task.panel}, task, block_layout(codec).offset_shift);
}
template <BlockKind kind>
void many_tile(const BlockTask& task) {
  // Only q8_0 and iq4 have codes above 127, and only they have offset 128.
  constexpr bool whole_offset = block_kind_info(kind).offset && block_kind_info(kind).halves == 1;
  if (whole_offset && task.w->offset_shift == 7) return run<whole_offset>(Unpacked<kind>{*task.w}, task, 7);
  run<false>(Unpacked<kind>{*task.w}, task, task.w->offset_shift);
}
template <BlockKind kind>
void many(const BlockTask* tiles, int64_t count) {
  for (int64_t i = 0; i < count; ++i) many_tile<kind>(tiles[i]);
}

// One scale per row: nothing but dot products between the first and the last column.
template <int W>
void row_tile(const RowTask& task) {
  constexpr int V = tile_vectors(W);
  const TileOutput& out = task.out;
  for (int first = 0; first < kPanelRows / 4; first += V) {
    int32x4_t dot[W][V];
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) dot[t][v] = vdupq_n_s32(0);
    }
    // Columns come in multiples of a block: four steps are 16 whole bytes of activations per token.
    for (int64_t begin = 0; begin < task.cols / 4; begin += 4) {
      const int8_t* x = task.x.codes + begin * W * 4;
#pragma GCC unroll kUnrolledSteps
      for (int step = 0; step < 4; ++step) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const uint8x16_t code = vld1q_u8(task.panel + (begin + step) * 128 + 16 * (first + v));
          const int8x16_t w = vreinterpretq_s8_u8(veorq_u8(code, vdupq_n_u8(0x80)));
#pragma GCC unroll 8
          for (int t = 0; t < W; ++t) dot[t][v] = dot4(dot[t][v], w, x, step * W + t);
        }
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const int row = 4 * (first + v);
        const float32x4_t scale = vmulq_n_f32(vld1q_f32(task.row_scale + row), task.x.scale[t]);
        float32x4_t y = vmulq_f32(vcvtq_f32_s32(dot[t][v]), scale);
        if (out.add != nullptr) y = vaddq_f32(y, vld1q_f32(out.add + t * out.add_stride + row));
        vst1q_f32(out.c_out + t * out.c_out_stride + row, y);
      }
    }
  }
}

void row_w8(const RowTask& task) {
  by_width(task.x.width, [&](auto width) { row_tile<decltype(width)::value>(task); });
}

void apply_blocks(MatmulKernels& table) {
  for_each<kBlockCodecs>([&](auto codec) { table.few[codec.value] = few<codec.value>; });
  for_each<kBlockKinds>([&](auto kind) { table.many[kind.value] = many<static_cast<BlockKind>(kind.value)>; });
  table.row_w8 = row_w8;
}

}  // namespace
}  // namespace tessera

#endif  // TESSERA_KERNELS_NEON_BLOCK_TILE_H_
