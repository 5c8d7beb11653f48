// The codecs behind block_format(): one pair of functions per stored type, each file holding one group. Private to
// quant/ and its tests; everybody else asks block_format().
#ifndef TESSERA_QUANT_BLOCK_CODECS_H_
#define TESSERA_QUANT_BLOCK_CODECS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/float16.h"

namespace tessera {

using UnpackFunction = void(const std::byte* row, float* out, int64_t elements);
using PackFunction = void(const float* values, const float* importance, std::byte* row, int64_t elements);

// plain.cc
UnpackFunction unpack_f32, unpack_f16, unpack_bf16, unpack_f64, unpack_i8, unpack_f8e4m3;
PackFunction pack_f32, pack_f16, pack_bf16;
// legacy.cc: 32 elements, one scale (x_0) or scale and minimum (x_1)
UnpackFunction unpack_q8_0, unpack_q4_0, unpack_q4_1, unpack_q5_0, unpack_q5_1;
PackFunction pack_q8_0, pack_q4_0, pack_q4_1, pack_q5_0, pack_q5_1;
// k_quants.cc, k_quants_pack.cc: 256 elements, quantized scales of sub-blocks
UnpackFunction unpack_q2_k, unpack_q3_k, unpack_q4_k, unpack_q5_k, unpack_q6_k;
PackFunction pack_q2_k, pack_q3_k, pack_q4_k, pack_q5_k, pack_q6_k;
// iq4.cc: a fixed table of 16 unevenly spaced levels
UnpackFunction unpack_iq4_nl, unpack_iq4_xs;
PackFunction pack_iq4_nl, pack_iq4_xs;
// mxfp4.cc: FP4 (E2M1) with a power-of-two scale
UnpackFunction unpack_mxfp4;
PackFunction pack_mxfp4;
// w8.cc: int8 with one f32 scale for the whole row
UnpackFunction unpack_w8;
PackFunction pack_w8;

// Unaligned little-endian access to block fields (every supported machine is little-endian).
template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}
template <class T>
void store(std::byte* bytes, T value) {
  std::memcpy(bytes, &value, sizeof(T));
}
inline float load_f16(const std::byte* bytes) { return f16_to_f32(load<uint16_t>(bytes)); }
inline uint32_t load_u8(const std::byte* bytes) { return std::to_integer<uint32_t>(*bytes); }

}  // namespace tessera

#endif  // TESSERA_QUANT_BLOCK_CODECS_H_
