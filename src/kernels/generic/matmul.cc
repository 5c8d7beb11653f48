// Matmul in plain scalar code: runs everywhere, and is the exact oracle of the integer kernels of every layer: the same
// integers, the same fused multiply-adds in the same order.
#include "kernels/layers.h"
#include "kernels/matmul_common.h"
#include "kernels/matmul_kernels.h"

namespace tessera::generic {
namespace {

constexpr int kR = kPanelRows;

uint16_t half_at(const uint8_t* p, int index) {
  uint16_t h;
  __builtin_memcpy(&h, p + 2 * index, 2);
  return h;
}

// ---- activations ----

// v rounded to the nearest integer, ties to even, as a byte. |v| <= 127 unless v is not finite.
int8_t round_to_int8(float v) {
  const float shifted = v + 12582912.0f;
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, 4);
  return static_cast<int8_t>(bits & 0xff);
}

// As integers the bits of magnitudes are ordered like the magnitudes, NaN above all: it wins, so that the scale is one.
float max_magnitude(const float* x, int64_t n) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; ++i) {
    int32_t bits;
    __builtin_memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    most = bits > most ? bits : most;
  }
  float result;
  __builtin_memcpy(&result, &most, 4);
  return result;
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
      int32_t sums[2] = {0, 0};
      for (int64_t i = 0; i < kBlockCols; ++i) {
        const int8_t q = begin + i < cols ? round_to_int8(row[begin + i] * inverse) : static_cast<int8_t>(0);
        out.codes[((b * 8 + i / 4) * w + t) * 4 + i % 4] = q;
        sums[i / 16] += q;
      }
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
  const int64_t w = out.width, padded = (cols + kBlockCols - 1) / kBlockCols * kBlockCols;
  for (int64_t t = 0; t < w; ++t) {
    const float* row = x + t * stride;
    const float most = max_magnitude(row, cols);
    const float inverse = most > 0 ? 127.0f / most : 0.0f;
    int32_t sum = 0;
    for (int64_t i = 0; i < padded; ++i) {
      const int8_t q = i < cols ? round_to_int8(row[i] * inverse) : static_cast<int8_t>(0);
      out.codes[(i / 4 * w + t) * 4 + i % 4] = q;
      sum += q;
    }
    out.sum[t] = sum;
    out.scale[t] = most / 127.0f;
  }
}

void tile_f32(const float* x, int64_t stride, int64_t cols, int64_t width, float* out) {
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t t = 0; t < width; ++t) out[c * width + t] = x[t * stride + c];
  }
}

void tile_bf16(const float* x, int64_t stride, int64_t cols, int64_t width, uint16_t* out) {
  for (int64_t c = 0; c < cols + cols % 2; ++c) {
    for (int64_t t = 0; t < width; ++t) {
      out[(c / 2 * width + t) * 2 + c % 2] = c < cols ? scalar_to_bf16(x[t * stride + c]) : static_cast<uint16_t>(0);
    }
  }
}

// ---- unpacking ----

int code_at(const BlockLayout& layout, int codec, const uint8_t* block, int step, int lane) {
  if (codec == kPackedQ8_0) return block[step * 128 + lane];
  int code = 0;
  if (layout.nibbles_at >= 0) {
    const int byte = block[layout.nibbles_at + step % 4 * 128 + lane];
    code = step < 4 ? byte & 0xf : byte >> 4;
  }
  if (layout.pairs_at >= 0) {
    const int pair = (block[layout.pairs_at + step / 4 * 128 + lane] >> (2 * (step % 4))) & 3;
    code |= pair << layout.pairs_shift();
  }
  if (layout.bits_at >= 0) code |= ((block[layout.bits_at + lane] >> step) & 1) << layout.bits_shift();
  if (codec == kPackedIQ4_NL || codec == kPackedIQ4_XS) code = kIq4Codes[code];
  if (codec == kPackedMXFP4) code = kMxfp4Codes[code];
  return code;
}

// Scale of block b of its group, row r; with int_scales of the group.
float scale_at(int codec, const uint8_t* group, int b, int r) {
  if (codec == kPackedMXFP4) return scalar_e8m0_half(group[r]);
  const float d = scalar_f16(half_at(group, r));
  return codec == kPackedIQ4_XS ? d * static_cast<float>(static_cast<int8_t>(group[2 * kR + b * kR + r])) : d;
}
// The integer of half h (0 for whole blocks) of block b.
int32_t int_scale_at(int codec, const uint8_t* group, int b, int h, int r) {
  switch (codec) {
    case kPackedQ2_K: return group[4 * kR + (2 * b + h) * kR + r] & 0xf;
    case kPackedQ3_K:
    case kPackedQ6_K: return static_cast<int8_t>(group[2 * kR + (2 * b + h) * kR + r]);
    default: return group[4 * kR + b * kR + r];  // q4_k, q5_k
  }
}
// The same with row_scale, for block b of a panel.
int32_t row_int_scale_at(const BlockLayout& layout, const uint8_t* panel, int64_t b, int r) {
  const uint8_t* group = panel + layout.head_bytes() + (b / 2 * 2 + r / 16) * layout.group_bytes;
  return static_cast<int16_t>(half_at(group, static_cast<int>(r % 16 * 2 + b % 2)));
}
float row_scale_at(const uint8_t* panel, int r) {
  float scale;
  __builtin_memcpy(&scale, panel + 4 * r, 4);
  return scale;
}

int min_at(int codec, const uint8_t* group, int b, int h, int r) {
  return codec == kPackedQ2_K ? group[4 * kR + (2 * b + h) * kR + r] >> 4 : group[12 * kR + b * kR + r];
}

template <int codec>
void unpack(const uint8_t* panel, int64_t first, int64_t blocks, UnpackedPanel& out) {
  constexpr BlockLayout layout = block_layout(codec);
  constexpr BlockKindInfo info = block_kind_info(layout.kind);
  constexpr int halves = info.halves;
  out.codes = out.code_memory;
  out.code_stride = 1024;
  out.offset_shift = layout.offset_shift;
  for (int64_t i = 0; i < blocks; ++i) {
    const uint8_t* group = panel + layout.head_bytes() + (first + i) / layout.group_blocks * layout.group_bytes;
    const int b = static_cast<int>((first + i) % layout.group_blocks);
    const uint8_t* block = group + layout.blocks_at + b * layout.block_bytes;
    for (int step = 0; step < 8; ++step) {
      for (int lane = 0; lane < 128; ++lane) {
        out.code_memory[i * 1024 + step * 128 + lane] = static_cast<uint8_t>(code_at(layout, codec, block, step, lane));
      }
    }
    for (int r = 0; r < kR; ++r) {
      if (info.row_scale) {
        out.scale[r] = row_scale_at(panel, r);
        out.int_scale[i * kR + r] = row_int_scale_at(layout, panel, first + i, r);
        continue;
      }
      if (!info.int_scales) out.scale[i * kR + r] = scale_at(codec, group, b, r);
      if (info.int_scales && b == 0) out.scale[i / info.group_blocks * kR + r] = scale_at(codec, group, b, r);
      for (int h = 0; h < halves && info.int_scales; ++h) {
        out.int_scale[(i * halves + h) * kR + r] = int_scale_at(codec, group, b, h, r);
      }
      if (info.bias) out.bias[i * kR + r] = scalar_f16(half_at(group, kR + r)) * (-1.0f / 128);
      if (layout.kind == kScale32Min)
        out.mins[(i / 2 * kR + r) * 2 + i % 2] = static_cast<int16_t>(min_at(codec, group, b, 0, r));
      if (layout.kind == kScale16Min) {
        for (int h = 0; h < 2; ++h)
          out.mins[(i * kR + r) * 2 + h] = static_cast<int16_t>(min_at(codec, group, b, h, r));
      }
      if (info.mins) {
        out.neg_d_min[i / kMostGroupBlocks * kR + r] = -scalar_f16(half_at(group, kR + r));
      }
    }
  }
}

// ---- products ----

void finish(const TileOutput& out, int64_t t, float* sums) {
  for (int r = 0; r < kR; ++r) {
    out.c_out[t * out.c_out_stride + r] = out.add != nullptr ? sums[r] + out.add[t * out.add_stride + r] : sums[r];
  }
}

// Integer sums of steps [begin, end) of one block for 32 rows.
void dot_steps(const uint8_t* codes, const int8_t* x, int64_t width, int begin, int end, int32_t* sums) {
  for (int step = begin; step < end; ++step) {
    const int8_t* xs = x + step * width * 4;
    for (int r = 0; r < kR; ++r) {
      const uint8_t* c = codes + step * 128 + r * 4;
      sums[r] += c[0] * xs[0] + c[1] * xs[1] + c[2] * xs[2] + c[3] * xs[3];
    }
  }
}

// Adds block b to the sums of its group: `total` with int_scales, else `acc`.
template <BlockKind kind>
void add_block(const BlockTask& task, int64_t b, int64_t t, int32_t* total, float* acc) {
  const UnpackedPanel& w = *task.w;
  const BlockTile& x = task.x;
  constexpr BlockKindInfo info = block_kind_info(kind);
  constexpr int halves = info.halves;
  const int shift = (halves == 2 ? 5 : 7) - w.offset_shift;
  for (int h = 0; h < halves; ++h) {
    int32_t start = 0;
    if (info.offset) start = (halves == 2 ? x.start16[(b * 2 + h) * x.width + t] : x.start32[b * x.width + t]) >> shift;
    int32_t sums[kR];
    for (int r = 0; r < kR; ++r) sums[r] = start;
    dot_steps(w.codes + b * w.code_stride, x.codes + (b * 8 * x.width + t) * 4, x.width, h * 8 / halves,
              (h + 1) * 8 / halves, sums);
    for (int r = 0; r < kR; ++r) {
      if (info.row_scale) {
        // 16 bits hold it where activations are numbers. Elsewhere their scale is none, and so is the result.
        total[r] += static_cast<int16_t>(sums[r] >> sum_shift(w.offset_shift)) * w.int_scale[b * kR + r];
      } else if (info.int_scales) {
        total[r] += sums[r] * w.int_scale[(b * halves + h) * kR + r];
      } else {
        acc[r] = __builtin_fmaf(static_cast<float>(sums[r]), w.scale[b * kR + r], acc[r]);
      }
    }
  }
  if (info.bias) {
    const auto start = static_cast<float>(x.start32[b * x.width + t]);
    for (int r = 0; r < kR; ++r) acc[r] = __builtin_fmaf(start, w.bias[b * kR + r], acc[r]);
  }
}

// Minima of the blocks of one group as one integer.
template <BlockKind kind>
void add_mins(const BlockTask& task, int64_t begin, int64_t end, int64_t t, float* acc) {
  const UnpackedPanel& w = *task.w;
  const BlockTile& x = task.x;
  int32_t sums[kR] = {};
  for (int64_t b = begin; b < end; ++b) {
    for (int r = 0; r < kR; ++r) {
      if (kind == kScale32Min) {
        sums[r] += w.mins[(b / 2 * kR + r) * 2 + b % 2] * x.pair32[(b / 2 * x.width + t) * 2 + b % 2];
      } else {
        for (int h = 0; h < 2; ++h) sums[r] += w.mins[(b * kR + r) * 2 + h] * x.pair16[(b * x.width + t) * 2 + h];
      }
    }
  }
  const float* neg_d_min = w.neg_d_min + begin / kMostGroupBlocks * kR;
  for (int r = 0; r < kR; ++r) acc[r] = __builtin_fmaf(static_cast<float>(sums[r]), neg_d_min[r], acc[r]);
}

template <BlockKind kind>
void many_tile(const BlockTask& task) {
  constexpr BlockKindInfo info = block_kind_info(kind);
  constexpr int64_t group = info.group_blocks;
  for (int64_t t = 0; t < task.x.width; ++t) {
    float sums[kR] = {};
    if (task.out.c_in != nullptr) __builtin_memcpy(sums, task.out.c_in + t * task.out.c_in_stride, sizeof(sums));
    for (int64_t begin = 0; begin < task.blocks; begin += group) {
      const int64_t end = task.blocks - begin < group ? task.blocks : begin + group;
      int32_t total[kR] = {};
      float acc[kR] = {};
      for (int64_t b = begin; b < end; ++b) add_block<kind>(task, b, t, total, acc);
      for (int r = 0; r < kR && info.int_scales; ++r) {
        acc[r] = static_cast<float>(total[r]) * task.w->scale[(info.row_scale ? 0 : begin / group * kR) + r];
      }
      if (info.mins) add_mins<kind>(task, begin, end, t, acc);
      const float x_scale = task.x.scale[begin / group * task.x.width + t];
      for (int r = 0; r < kR; ++r) sums[r] = __builtin_fmaf(acc[r], x_scale, sums[r]);
    }
    finish(task.out, t, sums);
  }
}

template <BlockKind kind>
void many(const BlockTask* tiles, int64_t count) {
  for (int64_t i = 0; i < count; ++i) many_tile<kind>(tiles[i]);
}

// Group by group. The sums wait in a buffer of their own: c_out may be the very rows that are added at the end.
template <int codec>
void few(const BlockTask& task) {
  constexpr BlockLayout layout = block_layout(codec);
  constexpr int64_t most = block_kind_info(layout.kind).group_blocks;
  uint8_t codes[most * 1024];
  float scale[most * kR], bias[most * kR], neg_d_min[kR];
  int32_t int_scale[most * 2 * kR];
  int16_t mins[most * 2 * kR];
  float partial[kBlockTokens * kR];
  UnpackedPanel w{codes, 1024, 0, scale, int_scale, bias, mins, neg_d_min, codes};
  for (int64_t begin = 0; begin < task.blocks; begin += most) {
    const int64_t blocks = task.blocks - begin < most ? task.blocks - begin : most;
    unpack<codec>(task.panel, begin, blocks, w);
    BlockTask part{nullptr, &w, advance(task.x, begin), blocks, task.out};
    if (begin > 0) part.out.c_in = partial, part.out.c_in_stride = kR;
    if (begin + blocks < task.blocks) part.out.add = nullptr, part.out.c_out = partial, part.out.c_out_stride = kR;
    many_tile<layout.kind>(part);
  }
}

template <class Weight>
void float_rows(const FloatTask& task, Weight weight) {
  const auto* x = static_cast<const float*>(task.x);
  for (int64_t t = 0; t < task.width; ++t) {
    float sums[kR] = {};
    if (task.out.c_in != nullptr) __builtin_memcpy(sums, task.out.c_in + t * task.out.c_in_stride, sizeof(sums));
    for (int64_t k = 0; k < task.cols; ++k) {
      const float xk = x[k * task.width + t];
      for (int r = 0; r < kR; ++r) sums[r] += weight(k, r) * xk;
    }
    finish(task.out, t, sums);
  }
}

void float_f32(const FloatTask& task) {
  const auto* w = static_cast<const float*>(task.panel);
  float_rows(task, [w](int64_t k, int r) { return w[k * kR + r]; });
}
void float_f16(const FloatTask& task) {
  const auto* w = static_cast<const uint16_t*>(task.panel);
  float_rows(task, [w](int64_t k, int r) { return scalar_f16(w[k * kR + r]); });
}
void float_bf16(const FloatTask& task) {
  const auto* w = static_cast<const uint16_t*>(task.panel);
  float_rows(task, [w](int64_t k, int r) { return scalar_bf16(w[(k / 2 * kR + r) * 2 + k % 2]); });
}

void row_w8(const RowTask& task) {
  for (int64_t t = 0; t < task.x.width; ++t) {
    int32_t sums[kR];
    for (int r = 0; r < kR; ++r) sums[r] = -128 * task.x.sum[t];
    for (int64_t step = 0; step < task.cols / 4; ++step) {
      const int8_t* x = task.x.codes + (step * task.x.width + t) * 4;
      for (int r = 0; r < kR; ++r) {
        const uint8_t* c = task.panel + (step * kR + r) * 4;
        sums[r] += c[0] * x[0] + c[1] * x[1] + c[2] * x[2] + c[3] * x[3];
      }
    }
    float y[kR];
    for (int r = 0; r < kR; ++r) y[r] = static_cast<float>(sums[r]) * (task.row_scale[r] * task.x.scale[t]);
    finish(task.out, t, y);
  }
}

}  // namespace

void apply(MatmulKernels& table) {
  table.quantize_blocks = quantize_blocks;
  table.quantize_rows = quantize_rows;
  table.tile_f32 = tile_f32;
  table.tile_bf16 = tile_bf16;
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

}  // namespace tessera::generic
