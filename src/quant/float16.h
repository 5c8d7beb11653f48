// Scalar conversions between f32 and the 16- and 8-bit floating types, exact in both directions (round to nearest even).
#ifndef TESSERA_QUANT_FLOAT16_H_
#define TESSERA_QUANT_FLOAT16_H_

#include <bit>
#include <cstdint>

namespace tessera {

// Without a branch and inline: whole rows are converted.
inline float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  // Zero or subnormal: mantissa * 2^-24, exact in f32.
  const auto subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(mantissa)) * 0x1p-24f);
  const uint32_t wide_exponent = exponent == 0x1fu ? 0xffu : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (exponent == 0 ? subnormal : (wide_exponent << 23) | (mantissa << 13)));
}
uint16_t f32_to_f16(float value);
inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
uint16_t f32_to_bf16(float value);
float f8e4m3_to_f32(uint8_t bits);   // OCP FP8 E4M3FN: 0x7f and 0xff are NaN, no infinities

}  // namespace tessera

#endif  // TESSERA_QUANT_FLOAT16_H_
