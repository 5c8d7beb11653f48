// Packed panels: what the bytes of 32 weight rows look like in memory, per codec, and how stored rows become panels.
//
// A panel is a sequence of groups (32 or 256 columns, the format's own block), 32 rows side by side, of some types after a head:
//
//   q8_0    i16 scale[16][2], u8 code[8][32][4]                             code = w + 128
//   q4_0    i16 scale[16][2], nibble[4][32][4]
//   iq4_nl  f16 d[32], nibble[4][32][4]                                     code = table index
//   mxfp4   u8 e[32], nibble[4][32][4]
//   q4_1    f16 d[32], f16 m[32], nibble[4][32][4]
//   q5_0    i16 scale[16][2], bit[32][4], nibble[4][32][4]
//   q5_1    f16 d[32], f16 m[32], bit[32][4], nibble[4][32][4]
//   q4_k    f16 d[32], f16 d_min[32], u8 scale[8][32], u8 min[8][32], then 8 blocks of nibble[4][32][4]
//   q5_k    the same head, then 8 blocks of bit[32][4], nibble[4][32][4]
//   q6_k    f16 d[32], i8 scale[16][32], then 8 blocks of pair[2][32][4], nibble[4][32][4]
//   q3_k    f16 d[32], i8 scale[16][32], then 8 blocks of bit[32][4], pair[2][32][4]
//   q2_k    f16 d[32], f16 d_min[32], u8 scale_min[16][32], then 8 blocks of pair[2][32][4]
//   iq4_xs  f16 d[32], i8 scale[8][32], then 8 blocks of nibble[4][32][4]
//   f32, f16  [column][32];  bf16 [column/2][32][2];  w8 f32 d[32], then u8 code[column/4][32][4]
//
// Step s of a block is its columns 4s..4s+3. nibble[i]: step i in the low, step i + 4 in the high half of each byte.
// pair[i]: steps 4i..4i+3, two bits each from the low end. bit: step s is bit s. A kernel that wants step s for 16 rows
// loads 64 bytes, shifts and masks; the rows are already its lanes. Small planes come first: with them in registers a kernel
// needs every line of a block once and in the order of memory.
//
// Panels of q8_0, q4_0 and q5_0 begin with f32 row_scale[32], powers of two. A row's f16 scales d become integers, scale =
// d / row_scale * 2^n rounded to nearest (n: sum_shift(), matmul_common.h), the largest of them 2^14 to 32752 (less if all are
// subnormal): d of at least a sixteenth of the row's largest stays exact, others move by up to 2^-15 of that. A row with an infinite
// d, or a NaN, has a NaN for row_scale. Groups come in pairs, the last one with zeros if need be: the first holds the scales of rows
// 0..15 for both, the second those of rows 16..31, both scales of a row side by side.
//
// Bytes per weight are those of the file, except q4_k +2.8 %, q5_k +2.3 %, q3_k +3.6 %, iq4_xs +1.5 % (scales unpacked from
// 6 to 8 bits), and 4 bytes a row of q8_0, q4_0, q5_0.
#ifndef TESSERA_KERNELS_PACKED_CODEC_H_
#define TESSERA_KERNELS_PACKED_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/matmul_kernels.h"
#include "tensor/dtype.h"

namespace tessera {

struct PackedCodecInfo {
  PackedCodec codec;
  DType dtype;
  int group_cols;   // columns of a group, or of a pair of them; cols of a matrix are padded to a multiple of it
  int group_bytes;  // of 32 rows and so many columns
  int head_bytes;   // at the start of a panel
  BlockKind kind;   // block codecs
};

const PackedCodecInfo& packed_codec_info(PackedCodec codec);
// F8_E4M3 packs as bf16 (exact). Nullopt: not a weight type.
std::optional<PackedCodec> packed_codec_of(DType dtype);

uint64_t packed_panel_bytes(PackedCodec codec, int64_t cols);

// Rows of `dtype`, row_bytes apart -> one panel of packed_panel_bytes. rows <= 32; the missing ones become zeros.
void pack_panel(DType dtype, const std::byte* stored, int64_t rows, uint64_t row_bytes, int64_t cols, uint8_t* panel);

}  // namespace tessera

#endif  // TESSERA_KERNELS_PACKED_CODEC_H_
