// Matmul on the NEON that every AArch64 processor has: float weights, the preparation of activations, unpacking, and
// block types by widening multiplies (block_tile.h), which neon_dotprod overwrites where sdot is there.
//
// Float tiles: 8 rows x up to 12 tokens or 16 rows x up to 6 (24 sums in 32 registers), the whole panel for one token.
// Bound: the f32 fused multiply-add rate.
#include "kernels/layers.h"
#include "kernels/neon/block_tile.h"

namespace tessera::neon {
namespace {

constexpr int kR = kPanelRows;

// ---- float weights ----

struct RowsF32 {
  const float* w;
  inline __attribute__((always_inline)) float32x4_t at(int64_t k, int vector) const {
    return vld1q_f32(w + k * kR + 4 * vector);
  }
};
struct RowsF16 {
  const uint16_t* w;
  inline __attribute__((always_inline)) float32x4_t at(int64_t k, int vector) const {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(w + k * kR + 4 * vector)));
  }
};
struct RowsBf16 {
  const uint16_t* w;
  inline __attribute__((always_inline)) float32x4_t at(int64_t k, int vector) const {
    const uint32x4_t pair = vreinterpretq_u32_u16(vld1q_u16(w + (k / 2 * kR + 4 * vector) * 2));
    return vreinterpretq_f32_u32(k % 2 == 0 ? vshlq_n_u32(pair, 16) : vandq_u32(pair, vdupq_n_u32(0xffff0000)));
  }
};

template <class Source, int W>
void float_tile(const Source& w, const FloatTask& task) {
  constexpr int V = W == 1 ? 8 : W <= 6 ? 4 : 2;
  const auto* x = static_cast<const float*>(task.x);
  const TileOutput& out = task.out;
  for (int first = 0; first < kR / 4; first += V) {
    float32x4_t acc[W][V];
#pragma GCC unroll 12
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const float* in = out.c_in + t * out.c_in_stride + 4 * (first + v);
        acc[t][v] = out.c_in != nullptr ? vld1q_f32(in) : vdupq_n_f32(0);
      }
    }
    const auto step = [&](int64_t k) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const float32x4_t weight = w.at(k, first + v);
#pragma GCC unroll 12
        for (int t = 0; t < W; ++t) acc[t][v] = vfmaq_n_f32(acc[t][v], weight, x[k * W + t]);
      }
    };
    int64_t k = 0;
    for (; k + 2 <= task.cols; k += 2) {
      step(k);
      step(k + 1);
    }
    if (k < task.cols) step(k);
#pragma GCC unroll 12
    for (int t = 0; t < W; ++t) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        float32x4_t y = acc[t][v];
        if (out.add != nullptr) y = vaddq_f32(y, vld1q_f32(out.add + t * out.add_stride + 4 * (first + v)));
        vst1q_f32(out.c_out + t * out.c_out_stride + 4 * (first + v), y);
      }
    }
  }
}

template <class Source>
void float_rows(const Source& w, const FloatTask& task) {
  switch (task.width) {
    case 1: return float_tile<Source, 1>(w, task);
    case 2: return float_tile<Source, 2>(w, task);
    case 3: return float_tile<Source, 3>(w, task);
    case 4: return float_tile<Source, 4>(w, task);
    case 5: return float_tile<Source, 5>(w, task);
    case 6: return float_tile<Source, 6>(w, task);
    case 7: return float_tile<Source, 7>(w, task);
    case 8: return float_tile<Source, 8>(w, task);
    case 9: return float_tile<Source, 9>(w, task);
    case 10: return float_tile<Source, 10>(w, task);
    case 11: return float_tile<Source, 11>(w, task);
    default: return float_tile<Source, 12>(w, task);
  }
}
static_assert(kFloatTokens == 12);

void float_f32(const FloatTask& task) { float_rows(RowsF32{static_cast<const float*>(task.panel)}, task); }
void float_f16(const FloatTask& task) { float_rows(RowsF16{static_cast<const uint16_t*>(task.panel)}, task); }
void float_bf16(const FloatTask& task) { float_rows(RowsBf16{static_cast<const uint16_t*>(task.panel)}, task); }

// ---- activations ----

// As integers, so that NaN is the largest (generic/matmul.cc says why).
float max_magnitude(const float* x, int64_t n) {
  const auto magnitude = [](float32x4_t v) { return vreinterpretq_s32_f32(vabsq_f32(v)); };
  int32x4_t most = vdupq_n_s32(0);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) most = vmaxq_s32(most, magnitude(vld1q_f32(x + i)));
  for (; i < n; ++i) most = vmaxq_s32(most, magnitude(vdupq_n_f32(x[i])));
  return vgetq_lane_f32(vreinterpretq_f32_s32(vdupq_n_s32(vmaxvq_s32(most))), 0);
}

// 32 columns, those from n on as zeros, rounded to the nearest integer (generic/matmul.cc says how).
TESSERA_STATIC_INLINE int8x16x2_t round32(const float* x, int64_t n, float inverse) {
  float padded[kBlockCols] = {};
  if (n < kBlockCols) {
    __builtin_memcpy(padded, x, static_cast<size_t>(n) * sizeof(float));
    x = padded;
  }
  int16x4_t codes[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const float32x4_t shifted = vaddq_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse), vdupq_n_f32(12582912.0f));
    codes[i] = vmovn_s32(vreinterpretq_s32_f32(shifted));
  }
  int8x16x2_t q;
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    q.val[i] = vcombine_s8(vmovn_s16(vcombine_s16(codes[4 * i], codes[4 * i + 1])),
                           vmovn_s16(vcombine_s16(codes[4 * i + 2], codes[4 * i + 3])));
  }
  return q;
}

// 32 codes -> 8 words, `width` words apart.
TESSERA_STATIC_INLINE void scatter8(const int8x16x2_t& q, int8_t* out, int64_t width) {
  int8_t codes[32];
  vst1q_s8(codes, q.val[0]);
  vst1q_s8(codes + 16, q.val[1]);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) __builtin_memcpy(out + i * width * 4, codes + 4 * i, 4);
}

void quantize_blocks(const float* x, int64_t stride, int64_t cols, const BlockTile& out) {
  const int64_t w = out.width, blocks = (cols + kBlockCols - 1) / kBlockCols;
  const int64_t group_cols = out.group_blocks * kBlockCols;
  for (int64_t t = 0; t < w; ++t) {
    const float* row = x + t * stride;
    float inverse = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t begin = b * kBlockCols;
      if (b % out.group_blocks == 0) {
        const float most = max_magnitude(row + begin, cols - begin < group_cols ? cols - begin : group_cols);
        out.scale[b / out.group_blocks * w + t] = most / 127.0f;
        inverse = most > 0 ? 127.0f / most : 0.0f;
      }
      const int8x16x2_t q = round32(row + begin, cols - begin, inverse);
      scatter8(q, out.codes + (b * 8 * w + t) * 4, w);
      const int32_t sums[2] = {vaddlvq_s8(q.val[0]), vaddlvq_s8(q.val[1])};
      if (out.group_blocks != kMostGroupBlocks) {
        out.start32[b * w + t] = -128 * (sums[0] + sums[1]) + out.rounding[b % 2];
        continue;
      }
      for (int h = 0; h < 2; ++h) {
        out.start16[(b * 2 + h) * w + t] = -32 * sums[h];
        out.pair16[(b * w + t) * 2 + h] = static_cast<int16_t>(sums[h]);
      }
      out.pair32[(b / 2 * w + t) * 2 + b % 2] = static_cast<int16_t>(sums[0] + sums[1]);
      if (b + 1 == blocks && b % 2 == 0) out.pair32[(b / 2 * w + t) * 2 + 1] = 0;
    }
  }
}

void quantize_rows(const float* x, int64_t stride, int64_t cols, const RowTile& out) {
  const int64_t w = out.width;
  for (int64_t t = 0; t < w; ++t) {
    const float* row = x + t * stride;
    const float most = max_magnitude(row, cols);
    const float inverse = most > 0 ? 127.0f / most : 0.0f;
    int32_t sum = 0;
    for (int64_t begin = 0; begin < cols; begin += kBlockCols) {
      const int8x16x2_t q = round32(row + begin, cols - begin, inverse);
      scatter8(q, out.codes + (begin / 4 * w + t) * 4, w);
      sum += vaddlvq_s8(q.val[0]) + vaddlvq_s8(q.val[1]);
    }
    out.sum[t] = sum;
    out.scale[t] = most / 127.0f;
  }
}

// ---- unpacking ----

template <int codec>
void unpack(const uint8_t* panel, int64_t first, int64_t blocks, UnpackedPanel& out) {
  const Packed<codec> w{panel};
  constexpr BlockLayout layout = block_layout(codec);
  constexpr BlockKindInfo info = block_kind_info(layout.kind);
  constexpr int halves = info.halves, group = info.group_blocks;
  out.offset_shift = layout.offset_shift;
  out.codes = codec == kPackedQ8_0 ? w.block(first) : out.code_memory;
  out.code_stride = codec == kPackedQ8_0 ? layout.group_bytes : 1024;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t b = first + i;
    for (int v = 0; v < kR / 4; ++v) {
      if constexpr (codec != kPackedQ8_0) {
#pragma GCC unroll 8
        for (int step = 0; step < 8; ++step) {
          vst1q_u8(out.code_memory + i * 1024 + step * 128 + 16 * v, w.code(b, step, v));
        }
      }
      if constexpr (!info.int_scales) {
        vst1q_f32(out.scale + i * kR + 4 * v, w.scale(b, v));
      } else {
        if (info.row_scale ? i == 0 : i % group == 0) vst1q_f32(out.scale + i / group * kR + 4 * v, w.scale(b, v));
        for (int half = 0; half < halves; ++half) {
          vst1q_s32(out.int_scale + (i * halves + half) * kR + 4 * v, w.int_scale(b, half, v));
        }
      }
      if constexpr (info.bias) vst1q_f32(out.bias + i * kR + 4 * v, w.bias(b, v));
      if constexpr (info.mins) {
        constexpr int64_t of_pair = 2 / halves;
        if (i % of_pair == 0) vst2_s16(out.mins + (i / of_pair * kR + 4 * v) * 2, w.mins(b, v));
        if (i % group == 0) vst1q_f32(out.neg_d_min + i / group * kR + 4 * v, w.neg_d_min(b, v));
      }
    }
  }
}

}  // namespace

void apply(MatmulKernels& table) {
  table.quantize_blocks = quantize_blocks;
  table.quantize_rows = quantize_rows;
  for_each<kBlockCodecs>([&](auto codec) { table.unpack[codec.value] = unpack<codec.value>; });
  apply_blocks(table);
  table.float_f32 = float_f32;
  table.float_f16 = float_f16;
  table.float_bf16 = float_bf16;
}

}  // namespace tessera::neon
