// Shared by the matmul files of all layers: positions inside packed groups (packed_codec.h) and scalar conversions.
// Everything is static: see layers.h.
#ifndef TESSERA_KERNELS_MATMUL_COMMON_H_
#define TESSERA_KERNELS_MATMUL_COMMON_H_

#include "kernels/matmul_kernels.h"

namespace tessera {

#define TESSERA_STATIC_INLINE static inline __attribute__((always_inline))

template <int v>
struct Constant {
  static constexpr int value = v;
};

// f(Constant<i>()) for i from 0 to count: fills a table with the instances of a template.
template <int count, int i = 0, class F>
TESSERA_STATIC_INLINE void for_each(F f) {
  if constexpr (i < count) {
    f(Constant<i>());
    for_each<count, i + 1>(f);
  }
}

// f(Constant<W>()) for a tile of W tokens: the kernels of a tile are compiled once for every width.
template <class F>
TESSERA_STATIC_INLINE void by_width(int64_t width, F f) {
  switch (width) {
    case 1: return f(Constant<1>());
    case 2: return f(Constant<2>());
    case 3: return f(Constant<3>());
    case 4: return f(Constant<4>());
    case 5: return f(Constant<5>());
    case 6: return f(Constant<6>());
    case 7: return f(Constant<7>());
    default: return f(Constant<8>());
  }
}
static_assert(kBlockTokens == 8);

// With row_scale: what makes 16 bits of the sums of blocks whose codes have offset 1 << offset_shift.
constexpr int sum_shift(int offset_shift) { return offset_shift - 3; }

// What a block codec looks like to a kernel. All offsets in bytes inside a group of 32 rows.
struct BlockLayout {
  int group_blocks;  // 1 or 8
  int group_bytes;
  int blocks_at;  // first block of codes
  int block_bytes;
  int nibbles_at;    // offset of the nibble plane in a block, -1: none
  int pairs_at;      // of the two-bit plane
  int bits_at;       // of the one-bit plane
  int offset_shift;  // codes stand for code - (1 << offset_shift); -1: none
  BlockKind kind;

  // Place of the pairs in a code, and of the bits.
  constexpr int pairs_shift() const { return nibbles_at >= 0 ? 4 : 0; }
  constexpr int bits_shift() const { return nibbles_at >= 0 ? 4 : 2; }
  // In front of the first group: row_scale.
  constexpr int head_bytes() const { return block_kind_info(kind).row_scale ? kPanelRows * 4 : 0; }
};

// By codec; q8_0 has bytes instead of planes.
constexpr BlockLayout block_layout(int codec) {
  constexpr int r = kPanelRows;
  switch (codec) {
    case kPackedQ8_0: return {1, r * 34, r * 2, r * 32, -1, -1, -1, 7, kScale32RowRounded};
    case kPackedQ4_0: return {1, r * 18, r * 2, r * 16, 0, -1, -1, 3, kScale32Row};
    case kPackedIQ4_NL: return {1, r * 18, r * 2, r * 16, 0, -1, -1, 7, kScale32};  // after the table
    case kPackedMXFP4: return {1, r * 17, r, r * 16, 0, -1, -1, 4, kScale32};       // after the table
    case kPackedQ4_1: return {1, r * 20, r * 4, r * 16, 0, -1, -1, -1, kScale32Bias};
    case kPackedQ5_0: return {1, r * 22, r * 2, r * 20, r * 4, -1, 0, 4, kScale32RowRounded};
    case kPackedQ5_1: return {1, r * 24, r * 4, r * 20, r * 4, -1, 0, -1, kScale32Bias};
    case kPackedQ4_K: return {8, r * 148, r * 20, r * 16, 0, -1, -1, -1, kScale32Min};
    case kPackedQ5_K: return {8, r * 180, r * 20, r * 20, r * 4, -1, 0, -1, kScale32Min};
    case kPackedQ6_K: return {8, r * 210, r * 18, r * 24, r * 8, 0, -1, 5, kScale16};
    case kPackedQ3_K: return {8, r * 114, r * 18, r * 12, -1, r * 4, 0, 2, kScale16};
    case kPackedQ2_K: return {8, r * 84, r * 20, r * 8, -1, 0, -1, -1, kScale16Min};
    default: return {8, r * 138, r * 10, r * 16, 0, -1, -1, 7, kScale32};  // iq4_xs
  }
}

// Codes that a nibble stands for: values of the published tables plus their offset (128 for iq4, 16 for mxfp4, whose
// values are doubled).
constexpr uint8_t kIq4Codes[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
constexpr uint8_t kMxfp4Codes[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};

TESSERA_STATIC_INLINE float scalar_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t magnitude = h & 0x7fff;
  float value;
  uint32_t bits;
  if (magnitude >= 0x7c00) {
    bits = sign | 0x7f800000 | (magnitude & 0x3ff) << 13;
  } else if (magnitude >= 0x400) {
    bits = sign | (magnitude + 0x1c000) << 13;
  } else {
    value = static_cast<float>(magnitude) * 5.9604645e-8f;  // 2^-24
    return sign != 0 ? -value : value;
  }
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

TESSERA_STATIC_INLINE float scalar_bf16(uint16_t h) {
  const uint32_t bits = static_cast<uint32_t>(h) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// Round to nearest even; NaN stays NaN.
TESSERA_STATIC_INLINE uint16_t scalar_to_bf16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// 2^(e - 128): the scale of mxfp4, half of E8M0 because the codes are doubled.
TESSERA_STATIC_INLINE float scalar_e8m0_half(uint8_t e) {
  const uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

}  // namespace tessera

#endif  // TESSERA_KERNELS_MATMUL_COMMON_H_
