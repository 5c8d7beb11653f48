// Attention kernels of the generic layer: vectors of four f32, which every compiler maps to its baseline registers. Not
// fused multiply-adds: the baseline has none.
#include <stdint.h>
#include <string.h>

#include "kernels/attention_body.h"
#include "kernels/layers.h"

namespace tessera {
namespace {

struct Generic {
  typedef float F __attribute__((vector_size(16)));
  typedef int32_t N __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kRowBlock = 4;
  static constexpr bool kFloorScaling = false;
  static constexpr float kExp2Floor = -127.0f;  // scale_by_power_of_2 makes 2^-127 zero

  TESSERA_INLINE F zero() { return F{}; }
  TESSERA_INLINE F set1(float x) { return F{x, x, x, x}; }
  TESSERA_INLINE F load(const float* p) {
    F x;
    memcpy(&x, p, sizeof(x));
    return x;
  }
  TESSERA_INLINE void store(float* p, F x) { memcpy(p, &x, sizeof(x)); }
  TESSERA_INLINE N load_words(const void* p) {
    N x;
    memcpy(&x, p, sizeof(x));
    return x;
  }
  TESSERA_INLINE F fma(F a, F b, F c) { return a * b + c; }
  TESSERA_INLINE F mul(F a, F b) { return a * b; }
  TESSERA_INLINE F div(F a, F b) { return a / b; }
  TESSERA_INLINE F add(F a, F b) { return a + b; }
  TESSERA_INLINE F sub(F a, F b) { return a - b; }
  TESSERA_INLINE F choose(N mask, F a, F b) {
    return reinterpret_cast<F>((mask & reinterpret_cast<N>(a)) | (~mask & reinterpret_cast<N>(b)));
  }
  TESSERA_INLINE F max(F a, F b) { return choose(a > b, a, b); }
  TESSERA_INLINE F abs(F x) { return reinterpret_cast<F>(reinterpret_cast<N>(x) & 0x7fffffff); }
  TESSERA_INLINE F copy_sign(F x, F sign) {
    return reinterpret_cast<F>(reinterpret_cast<N>(x) | (reinterpret_cast<N>(sign) & INT32_MIN));
  }
  TESSERA_INLINE F round(F x) { return x + set1(12582912.0f) - set1(12582912.0f); }  // |x| < 2^22
  TESSERA_INLINE F scale_by_power_of_2(F x, F n) {
    const N integer = reinterpret_cast<N>(n + set1(12582912.0f)) - reinterpret_cast<N>(set1(12582912.0f));
    return x * reinterpret_cast<F>((integer + 127) << 23);
  }
  TESSERA_INLINE F select_lanes(int begin, int end, F x, F other) {
    const N lane = {0, 1, 2, 3};
    return choose((lane >= begin) & (lane < end), x, other);
  }
  TESSERA_INLINE F as_float(N x) { return reinterpret_cast<F>(x); }
  TESSERA_INLINE F to_float(N x) {
    return F{static_cast<float>(x[0]), static_cast<float>(x[1]), static_cast<float>(x[2]), static_cast<float>(x[3])};
  }
  TESSERA_INLINE N shift_left(N x, int bits) { return x << bits; }
  TESSERA_INLINE N shift_right_signed(N x, int bits) { return x >> bits; }
  TESSERA_INLINE N bit_and(N x, uint32_t mask) { return x & static_cast<int32_t>(mask); }
  TESSERA_INLINE N bit_xor(N x, uint32_t mask) { return x ^ static_cast<int32_t>(mask); }
  TESSERA_INLINE float reduce_max(F x) {
    const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
  }
  static uint16_t to_f16(float x) {  // |x| <= 65504 or NaN
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
    if (bits < 0x38800000) {  // subnormal: adding 1/2 leaves the rounded value in the low bits
      float magnitude;
      memcpy(&magnitude, &bits, sizeof(magnitude));
      magnitude += 0.5f;
      memcpy(&bits, &magnitude, sizeof(bits));
      return static_cast<uint16_t>(sign | (bits - 0x3f000000));
    }
    return static_cast<uint16_t>(sign | ((bits + 0xfff + (bits >> 13 & 1)) - 0x38000000) >> 13);
  }
};

}  // namespace

namespace generic {
void apply(AttentionKernels& table) { apply_all<Generic>(table); }
}  // namespace generic

}  // namespace tessera
