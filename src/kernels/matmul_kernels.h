// MatmulKernels: the part of the kernel table that linear() uses, and the layouts that its kernels read.
//
// Lanes are output rows. A weight matrix is cut into panels of 32 rows; a panel stores its columns one after the other,
// 32 rows side by side, so that a kernel streams it once from front to back, holds 32 sums of each token in registers
// and broadcasts the activations. Every output element is summed in column order by one accumulator, whatever the
// number of tokens: decode, prefill and any batch give the same bits.
//
// Quantized weights (packed_codec.h: bytes of a panel) are multiplied as integers with int8 activations, in blocks of
// 32 columns; one activation scale covers a group of 64 or 256 columns (BlockKindInfo):
//
//   y = sum over groups g of  x_scale[g] * a[g],   a[g] = fma over blocks b in g of  float(dot[b]) * w_scale[b]
//   dot[b] = sum over 32 columns of (code - offset) * x        exact in int32, so its order is free
//
// plus, for formats with a minimum per block, float(sum of x) * bias[b]. Super-blocks of K types (int_scales), whose scales are
// small integers times one d and whose minima are small integers times one d_min, stay integers for a whole group, with half
// blocks of 16 columns in the place of blocks in some:
//
//   a[g] = float(sum over b in g of scale[b] * dot[b]) * d,   then, with minima,
//   a[g] = fma(float(sum over b in g of min[b] * sum of x[b]), -d_min, a[g])
//
// With row_scale (q4_0, q5_0, q8_0) the scales of blocks are 16-bit integers times a power of two of the row (packed_codec.h says
// how they round), and groups are two blocks, whose sums, rounded to 16 bits, meet their scales in one instruction (vpmaddwd):
//
//   a[g] = float(scale[b] * s[b] + scale[b + 1] * s[b + 1]) * row_scale,   s[b] = floor((dot[b] + rounding) / 2^n)
//
// (of a last block alone the first term). n = 0 for codes of 4 bits, 1 for 5, 4 for 8: |code - offset| <= 8 << n and |x| <= 127
// make |dot| <= 32512 << n. A multiplication by a power of two rounds nothing, so layers may multiply by row_scale at the end of
// the row instead: the same bits as long as every partial sum is zero or between 2^-126 and 2^100.
//
// The largest sums, from whatever bytes a file holds: 16 half blocks of 16 columns, |code - offset| <= 32, |x| <= 128, |scale|
// <= 128 are 134 million; 8 blocks of 32 columns, codes to 31, scales to 255 are 259 million; 2 blocks, |s| <= 32768, |scale| <= 32767
// are 2^31 - 65536. All fit an int32.
// Float weights (F32, F16, BF16) are summed by fused multiply-adds in column order.
#ifndef TESSERA_KERNELS_MATMUL_KERNELS_H_
#define TESSERA_KERNELS_MATMUL_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace tessera {

enum PackedCodec : int {
  kPackedQ8_0, kPackedQ4_0, kPackedQ4_1, kPackedQ5_0, kPackedQ5_1, kPackedQ2_K, kPackedQ3_K, kPackedQ4_K, kPackedQ5_K,
  kPackedQ6_K, kPackedIQ4_NL, kPackedIQ4_XS, kPackedMXFP4,
  kBlockCodecs,  // number of the codecs above: blocks of 32 columns, int8 activations
  kPackedF32 = kBlockCodecs, kPackedF16, kPackedBF16,
  kPackedW8,     // one scale per row, one activation scale per token
  kPackedCodecs,
};

// How the blocks of a codec combine; one tiled kernel each.
enum BlockKind : int {
  kScale32,        // w = scale * (code - offset)
  kScale32Row,     // w = row_scale * scale * (code - offset), scale a 16-bit integer; sums of a block fit 16 bits
  kScale32RowRounded,  // the same; sums are rounded to 16 bits
  kScale32Bias,    // w = scale * code + bias
  kScale32Min,     // w = scale * code - d_min * min
  kScale16,        // scale per 16 columns
  kScale16Min,     // scale and min per 16 columns
  kBlockKinds,
};

inline constexpr int kPanelRows = 32;
inline constexpr int kBlockCols = 32;
inline constexpr int kMostGroupBlocks = 8;
inline constexpr int kBlockTokens = 8;   // most tokens of a tile of int8 activations that the kernels take
inline constexpr int kManyBlockTokens = 6;  // what the operations make of it: 12 + 12 of 32 registers are sums, wider tiles spill
inline constexpr int kFloatTokens = 12;  // most tokens of a tile of f32 or bf16 activations
inline constexpr int kUnpackCols = 2048;  // most columns unpacked at a time: 64 KiB of codes
inline constexpr int kUnpackBlocks = kUnpackCols / kBlockCols;
// From one unpacked block to the next: 17 cache lines, so that one of each two lines still uses every set of L1.
inline constexpr int kUnpackedBlockBytes = kBlockCols * kPanelRows + 64;

struct BlockKindInfo {
  int group_blocks;  // blocks of 32 columns that share one activation scale
  int halves;        // scales of a block
  bool offset;       // codes have one, taken off by the start value of the integer sums
  bool bias;         // per block, times the sum of its activations
  bool int_scales;   // scales are integers times one float of the group, or of the row
  bool mins;         // small integers, summed for a whole group
  bool row_scale = false;  // int_scales, times one float of the row, a power of two
  bool rounds = false;     // sums of blocks are rounded to 16 bits
};

// Fewer activation scales are faster and lose more: 128 columns cost types with one scale per block 0.0001 to 0.0006 nats per
// token. Formats of super-blocks lose with 256 what the reference implementation does, which uses 256 too.
// (docs/performance.md)
constexpr BlockKindInfo block_kind_info(BlockKind kind) {
  switch (kind) {
    case kScale32: return {2, 1, true, false, false, false};
    case kScale32Row:
    case kScale32RowRounded:
      return {.group_blocks = 2, .halves = 1, .offset = true, .bias = false, .int_scales = true, .mins = false,
              .row_scale = true, .rounds = kind == kScale32RowRounded};
    case kScale32Bias: return {2, 1, false, true, false, false};
    case kScale32Min: return {kMostGroupBlocks, 1, false, false, true, true};
    case kScale16: return {kMostGroupBlocks, 2, true, false, true, false};
    default: return {kMostGroupBlocks, 2, false, false, true, true};  // kScale16Min
  }
}

// int8 activations of `width` tokens. Blocks beyond the last column hold zeros. B = blocks, G = groups. Groups of
// kMostGroupBlocks have the sums of super-blocks, smaller groups start32.
struct BlockTile {
  int8_t* codes;    // [B][8][width][4]: 4 consecutive columns are one operand of a dot-product instruction
  int32_t* start32;  // [B][width]     -128 * sum of the 32 codes: what an offset of 128 adds, taken off; plus rounding[B % 2]
  int32_t* start16;  // [B][2][width]  -32 * sum of the 16 codes of either half
  int16_t* pair32;  // [(B+1)/2][width][2]  sums of two blocks side by side
  int16_t* pair16;  // [B][width][2]        sums of both halves
  float* scale;     // [G][width]
  int64_t width;
  int64_t group_blocks;  // blocks of a group
  int32_t rounding[2] = {0, 0};  // kRounding for kinds that round sums
};
// Half of the 16 that sums of codes with offset 128 are divided by; start values of smaller offsets are shifted right, rounding
// included. What lies halfway goes up in even blocks and down in odd ones: always up would add a 32nd of a unit to every sum of
// codes of 8 bits, a quarter to those of 5. (Ranges and tiles begin at even blocks.)
inline constexpr int32_t kRounding[2] = {8, 7};

// Activations from `blocks` on, a multiple of a group.
static inline BlockTile advance(const BlockTile& x, int64_t blocks) {
  BlockTile y = x;
  y.codes += blocks * kBlockCols * x.width;
  y.scale += blocks / x.group_blocks * x.width;
  if (x.group_blocks != kMostGroupBlocks) {
    y.start32 += blocks * x.width;
  } else {
    y.start16 += blocks * 2 * x.width;
    y.pair32 += blocks * x.width;
    y.pair16 += blocks * 2 * x.width;
  }
  return y;
}

// A range of one panel's columns in the form that the tiled kernels read.
struct UnpackedPanel {
  const uint8_t* codes;  // [blocks][8][32 rows][4 columns], unsigned; blocks stand code_stride bytes apart
  int64_t code_stride;
  int offset_shift;      // codes stand for code - (1 << offset_shift); negative: no offset, which one is between a layer's unpack and many
  float* scale;          // [blocks][32]; with int_scales [groups][32]; with row_scale [32]
  int32_t* int_scale;    // [blocks][halves][32]; with row_scale [blocks][32] or pairs of 16 bits, which one is between a layer's unpack and many
  float* bias;           // [blocks][32], times -1/128, which makes start32 the other factor
  int16_t* mins;         // [pairs][32][2]: pairs of blocks, or the halves of one block
  float* neg_d_min;      // [groups][32]
  uint8_t* code_memory;  // kUnpackBlocks * kUnpackedBlockBytes bytes that `codes` may point to
};

// Where the sums of a tile go. c_in: earlier partial sums, or null. add: rows added at the very end, or null.
struct TileOutput {
  const float* c_in;
  int64_t c_in_stride;  // elements from one token to the next
  float* c_out;
  int64_t c_out_stride;
  const float* add;
  int64_t add_stride;
};

struct BlockTask {
  const uint8_t* panel;       // few: packed panel
  const UnpackedPanel* w;     // many: unpacked range
  BlockTile x;                // begins at the first column of the range
  int64_t blocks;             // of the range; the range begins at a multiple of the group
  TileOutput out;
  // Packed weights that are wanted next and fetched meanwhile. few, several tiles: so many bytes per block. many: in all.
  const uint8_t* ahead = nullptr;
  int64_t ahead_bytes = 0;
};

struct FloatTask {
  const void* panel;  // first column of the range: F32, F16 [k][32], BF16 [k/2][32][2]
  const void* x;      // f32 [k][width], bf16 [k/2][width][2]
  int64_t width;
  int64_t cols;       // of the range; even for bf16 activations (zero padded)
  TileOutput out;
};

// One int8 scale per token; the sum of a row is one int32.
struct RowTile {
  int8_t* codes;  // [cols/4][width][4], zero padded to a multiple of 32 columns
  int32_t* sum;   // [width]
  float* scale;   // [width]
  int64_t width;
};
struct RowTask {
  const uint8_t* panel;    // [cols/4][32 rows][4], unsigned with offset 128
  const float* row_scale;  // [32]
  RowTile x;
  int64_t cols;
  TileOutput out;  // c_in unused
};

struct MatmulKernels {
  // Function pointers only (the table's description walks over them); named in kMatmulKernelNames in order.

  // Activations: `x` is width rows of cols floats, `stride` elements apart.
  void (*quantize_blocks)(const float* x, int64_t stride, int64_t cols, const BlockTile& out);
  void (*quantize_rows)(const float* x, int64_t stride, int64_t cols, const RowTile& out);
  void (*tile_f32)(const float* x, int64_t stride, int64_t cols, int64_t width, float* out);      // [cols][width]
  void (*tile_bf16)(const float* x, int64_t stride, int64_t cols, int64_t width, uint16_t* out);  // [cols/2][width][2]

  // Few tokens: streams the packed panel, unpacks in registers.
  void (*few[kBlockCodecs])(const BlockTask&);
  // Many tokens: blocks [first, first + blocks) of a panel, unpacked once for all tiles of tokens.
  void (*unpack[kBlockCodecs])(const uint8_t* panel, int64_t first, int64_t blocks, UnpackedPanel& out);
  // Tiles of the same range.
  void (*many[kBlockKinds])(const BlockTask* tiles, int64_t count);

  void (*float_f32)(const FloatTask&);
  void (*float_f16)(const FloatTask&);
  void (*float_bf16)(const FloatTask&);   // f32 activations
  void (*pairs_bf16)(const FloatTask&);   // bf16 activations; null: the layer has no bf16 instruction
  void (*row_w8)(const RowTask&);
};

inline constexpr const char* kMatmulKernelNames[] = {
    "quantize_blocks", "quantize_rows", "tile_f32", "tile_bf16",
    "few.q8_0", "few.q4_0", "few.q4_1", "few.q5_0", "few.q5_1", "few.q2_k", "few.q3_k", "few.q4_k", "few.q5_k", "few.q6_k",
    "few.iq4_nl", "few.iq4_xs", "few.mxfp4",
    "unpack.q8_0", "unpack.q4_0", "unpack.q4_1", "unpack.q5_0", "unpack.q5_1", "unpack.q2_k", "unpack.q3_k",
    "unpack.q4_k", "unpack.q5_k", "unpack.q6_k", "unpack.iq4_nl", "unpack.iq4_xs", "unpack.mxfp4",
    "many.scale32", "many.scale32_row", "many.scale32_row_rounded", "many.scale32_bias", "many.scale32_min", "many.scale16", "many.scale16_min",
    "float.f32", "float.f16", "float.bf16", "pairs.bf16", "row.w8", nullptr};

}  // namespace tessera

#endif  // TESSERA_KERNELS_MATMUL_KERNELS_H_
