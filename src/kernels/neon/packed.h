// Weights of a packed panel (packed_codec.h) for the NEON layers: codes, scales and minima of 4 rows at a time,
// unpacked in registers. Included by one file per layer, so everything has internal linkage.
#ifndef TESSERA_KERNELS_NEON_PACKED_H_
#define TESSERA_KERNELS_NEON_PACKED_H_

#include <arm_neon.h>

#include "kernels/matmul_common.h"
#include "kernels/matmul_kernels.h"

namespace tessera {
namespace {

TESSERA_STATIC_INLINE float32x4_t load_f16(const uint8_t* p, int vector) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * vector)));
}
// Four bytes, widened to 16 bits.
TESSERA_STATIC_INLINE uint16x4_t load4(const uint8_t* p) {
  uint32_t four;
  __builtin_memcpy(&four, p, 4);
  return vget_low_u16(vmovl_u8(vcreate_u8(four)));
}
TESSERA_STATIC_INLINE int16x4_t load4_signed(const uint8_t* p) {
  uint32_t four;
  __builtin_memcpy(&four, p, 4);
  return vget_low_s16(vmovl_s8(vcreate_s8(four)));
}
TESSERA_STATIC_INLINE int32x4_t to_int(uint16x4_t v) { return vreinterpretq_s32_u32(vmovl_u16(v)); }
TESSERA_STATIC_INLINE int32x4_t to_int(int16x4_t v) { return vmovl_s16(v); }

constexpr bool has_offset_128(int codec) {
  return codec == kPackedQ8_0 || codec == kPackedIQ4_NL || codec == kPackedIQ4_XS;
}

// `vector` selects rows 4 * vector and the three behind it.
template <int codec>
struct Packed {
  static constexpr BlockLayout kLayout = block_layout(codec);
  static constexpr BlockKind kKind = kLayout.kind;
  static constexpr int kR = kPanelRows;
  const uint8_t* panel;

  inline __attribute__((always_inline)) const uint8_t* group(int64_t b) const {
    return panel + kLayout.head_bytes() + b / kLayout.group_blocks * kLayout.group_bytes;
  }
  inline __attribute__((always_inline)) const uint8_t* block(int64_t b) const {
    return group(b) + kLayout.blocks_at + b % kLayout.group_blocks * kLayout.block_bytes;
  }

  inline __attribute__((always_inline)) uint8x16_t code(int64_t b, int step, int vector) const {
    const uint8_t* p = block(b) + 16 * vector;
    if constexpr (codec == kPackedQ8_0) return vld1q_u8(p + 128 * step);
    uint8x16_t v = vdupq_n_u8(0);
    if constexpr (kLayout.nibbles_at >= 0) {
      v = vld1q_u8(p + kLayout.nibbles_at + 128 * (step % 4));
      v = step < 4 ? vandq_u8(v, vdupq_n_u8(0x0f)) : vshrq_n_u8(v, 4);
    }
    if constexpr (kLayout.pairs_at >= 0) {
      v = merge(v, shifted(vld1q_u8(p + kLayout.pairs_at + 128 * (step / 4)), kLayout.pairs_shift() - 2 * (step % 4)),
                3 << kLayout.pairs_shift());
    }
    if constexpr (kLayout.bits_at >= 0) {
      constexpr int position = kLayout.bits_shift();
      v = merge(v, shifted(vld1q_u8(p + kLayout.bits_at), position - step), 1 << position);
    }
    if constexpr (codec == kPackedIQ4_NL || codec == kPackedIQ4_XS) return vqtbl1q_u8(vld1q_u8(kIq4Codes), v);
    if constexpr (codec == kPackedMXFP4) return vqtbl1q_u8(vld1q_u8(kMxfp4Codes), v);
    return v;
  }

  // Of block b; with int_scales of its group; with row_scale of the row.
  inline __attribute__((always_inline)) float32x4_t scale(int64_t b, int vector) const {
    if constexpr (block_kind_info(kKind).row_scale) {
      return vreinterpretq_f32_u8(vld1q_u8(panel + 16 * vector));
    }
    const uint8_t* g = group(b);
    const uint8_t* rows = g + 4 * vector;
    if constexpr (codec == kPackedMXFP4) return e8m0_half(load4(rows));
    const float32x4_t d = load_f16(g, vector);
    if constexpr (codec == kPackedIQ4_XS) {
      return vmulq_f32(d, vcvtq_f32_s32(to_int(load4_signed(rows + (2 + b % kLayout.group_blocks) * kR))));
    }
    return d;
  }
  inline __attribute__((always_inline)) int32x4_t int_scale(int64_t b, int half, int vector) const {
    if constexpr (block_kind_info(kKind).row_scale) {
      const int32x4_t pair = vreinterpretq_s32_u8(vld1q_u8(group(b / 2 * 2 + vector / 4) + vector % 4 * 16));
      return vshrq_n_s32(b % 2 == 0 ? vshlq_n_s32(pair, 16) : pair, 16);
    }
    const uint8_t* rows = group(b) + 4 * vector;
    const int64_t i = b % kLayout.group_blocks;
    if constexpr (kKind == kScale32Min) return to_int(load4(rows + (4 + i) * kR));
    if constexpr (kKind == kScale16) return to_int(load4_signed(rows + (2 + 2 * i + half) * kR));
    return to_int(vand_u16(load4(rows + (4 + 2 * i + half) * kR), vdup_n_u16(0x0f)));
  }
  inline __attribute__((always_inline)) float32x4_t bias(int64_t b, int vector) const {
    return vmulq_n_f32(load_f16(group(b) + 2 * kR, vector), -1.0f / 128);
  }
  inline __attribute__((always_inline)) float32x4_t neg_d_min(int64_t b, int vector) const {
    return vnegq_f32(load_f16(group(b) + 2 * kR, vector));
  }
  // Minima of blocks b and b + 1, or of both halves of block b.
  inline __attribute__((always_inline)) int16x4x2_t mins(int64_t b, int vector) const {
    const uint8_t* g = group(b) + 4 * vector;
    const int64_t i = b % kLayout.group_blocks;
    int16x4x2_t pair;
    if constexpr (kKind == kScale32Min) {
      pair.val[0] = vreinterpret_s16_u16(load4(g + (12 + i) * kR));
      pair.val[1] = vreinterpret_s16_u16(load4(g + (13 + i) * kR));
    } else {
      pair.val[0] = vreinterpret_s16_u16(vshr_n_u16(load4(g + (4 + 2 * i) * kR), 4));
      pair.val[1] = vreinterpret_s16_u16(vshr_n_u16(load4(g + (5 + 2 * i) * kR), 4));
    }
    return pair;
  }

 private:
  // Shift counts are constants after unrolling; bits that cross into a neighbour's place are masked by merge().
  static inline __attribute__((always_inline)) uint8x16_t shifted(uint8x16_t v, int left) {
    return left >= 0 ? v << left : v >> -left;
  }
  static inline __attribute__((always_inline)) uint8x16_t merge(uint8x16_t v, uint8x16_t bits, int mask) {
    return vorrq_u8(v, vandq_u8(bits, vdupq_n_u8(static_cast<uint8_t>(mask))));
  }
  static inline __attribute__((always_inline)) float32x4_t e8m0_half(uint16x4_t exponents) {
    const uint32x4_t e = vmovl_u16(exponents);
    const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t denormal = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), denormal, normal));
  }
};

}  // namespace
}  // namespace tessera

#endif  // TESSERA_KERNELS_NEON_PACKED_H_
