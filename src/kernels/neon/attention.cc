// Attention kernels of the neon layer: vectors of four f32, blocks of eight rows (16 accumulators of 32 registers).
#include <arm_neon.h>

#include "kernels/attention_body.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

struct Neon {
  using F = float32x4_t;
  using N = int32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kRowBlock = 8;
  static constexpr bool kFloorScaling = false;
  static constexpr float kExp2Floor = -127.0f;  // scale_by_power_of_2 makes 2^-127 zero

  TESSERA_INLINE F zero() { return vdupq_n_f32(0); }
  TESSERA_INLINE F set1(float x) { return vdupq_n_f32(x); }
  TESSERA_INLINE F load(const float* p) { return vld1q_f32(p); }
  TESSERA_INLINE void store(float* p, F x) { vst1q_f32(p, x); }
  TESSERA_INLINE N load_words(const void* p) { return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p))); }
  TESSERA_INLINE F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  TESSERA_INLINE F mul(F a, F b) { return vmulq_f32(a, b); }
  TESSERA_INLINE F div(F a, F b) { return vdivq_f32(a, b); }
  TESSERA_INLINE F add(F a, F b) { return vaddq_f32(a, b); }
  TESSERA_INLINE F sub(F a, F b) { return vsubq_f32(a, b); }
  TESSERA_INLINE F max(F a, F b) { return vmaxq_f32(a, b); }
  TESSERA_INLINE F abs(F x) { return vabsq_f32(x); }
  TESSERA_INLINE F copy_sign(F x, F sign) { return vbslq_f32(vdupq_n_u32(0x80000000), sign, x); }
  TESSERA_INLINE F round(F x) { return vrndnq_f32(x); }
  TESSERA_INLINE F scale_by_power_of_2(F x, F n) {
    const N exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
  }
  TESSERA_INLINE F select_lanes(int begin, int end, F x, F other) {
    const N lane = {0, 1, 2, 3};
    const uint32x4_t shown = vandq_u32(vcgeq_s32(lane, vdupq_n_s32(begin)), vcltq_s32(lane, vdupq_n_s32(end)));
    return vbslq_f32(shown, x, other);
  }
  TESSERA_INLINE F as_float(N x) { return vreinterpretq_f32_s32(x); }
  TESSERA_INLINE F to_float(N x) { return vcvtq_f32_s32(x); }
  TESSERA_INLINE N shift_left(N x, int bits) { return x << bits; }
  TESSERA_INLINE N shift_right_signed(N x, int bits) { return x >> bits; }
  TESSERA_INLINE N bit_and(N x, uint32_t mask) { return vandq_s32(x, vdupq_n_s32(static_cast<int32_t>(mask))); }
  TESSERA_INLINE N bit_xor(N x, uint32_t mask) { return veorq_s32(x, vdupq_n_s32(static_cast<int32_t>(mask))); }
  TESSERA_INLINE float reduce_max(F x) { return vmaxvq_f32(x); }
  TESSERA_INLINE uint16_t to_f16(float x) {
    return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
  }
};

}  // namespace

namespace neon {
void apply(AttentionKernels& table) { apply_all<Neon>(table); }
}  // namespace neon

}  // namespace tessera
