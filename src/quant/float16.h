// Scalar conversions between f32 and the 16- and 8-bit floating types, exact in both directions (round to nearest even).
#ifndef TESSERA_QUANT_FLOAT16_H_
#define TESSERA_QUANT_FLOAT16_H_

#include <cstdint>

namespace tessera {

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);
float f8e4m3_to_f32(uint8_t bits);   // OCP FP8 E4M3FN: 0x7f and 0xff are NaN, no infinities

}  // namespace tessera

#endif  // TESSERA_QUANT_FLOAT16_H_
