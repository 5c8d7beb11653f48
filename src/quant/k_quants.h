// K-quants: super-blocks of 256 elements whose sub-blocks have quantized scales (GGUF types Q2_K .. Q6_K).
//
//   type  sub-blocks  x                          bytes of a super-block, in this order
//   Q2_K  16 x 16     d sc q - dmin m, q < 4      16 (sc | m << 4), 64 q, f16 d, f16 dmin
//   Q3_K  16 x 16     d (sc - 32) (q - 4), q < 8  32 high bits, 64 low two bits, 12 six-bit sc, f16 d
//   Q4_K   8 x 32     d sc q - dmin m, q < 16     f16 d, f16 dmin, 12 six-bit sc and m, 128 q
//   Q5_K   8 x 32     d sc q - dmin m, q < 32     f16 d, f16 dmin, 12 six-bit sc and m, 32 high bits, 128 low four bits
//   Q6_K  16 x 16     d sc (q - 32), q < 64       128 low four bits, 64 high two bits, 16 x int8 sc, f16 d
//
// Two-bit codes: byte l of 32 holds elements l, l + 32, l + 64, l + 96 of a half super-block. Four-bit codes: byte l of
// 32 holds elements l and l + 32 of a quarter. This header has the places of the bit fields, shared by both directions.
#ifndef TESSERA_QUANT_K_QUANTS_H_
#define TESSERA_QUANT_K_QUANTS_H_

#include <array>

#include "quant/block_codecs.h"

namespace tessera {

inline constexpr int kSuperBlock = 256;

// Six-bit scales and minima of Q4_K and Q5_K in 12 bytes: bytes 0-3 hold scales 0-3 and, in their two top bits, the top
// of scales 4-7; bytes 4-7 the same for minima; bytes 8-11 the low nibbles of scale (low) and minimum (high) 4-7.
inline uint32_t k_scale(const std::byte* s, int j) {
  return j < 4 ? load_u8(s + j) & 63u : (load_u8(s + j + 4) & 15u) | ((load_u8(s + j - 4) >> 6) << 4);
}
inline uint32_t k_minimum(const std::byte* s, int j) {
  return j < 4 ? load_u8(s + j + 4) & 63u : (load_u8(s + j + 4) >> 4) | ((load_u8(s + j) >> 6) << 4);
}

// The sixteen six-bit scales of Q3_K in 12 bytes: low nibbles in bytes 0-7 (j and j + 8), top bits in bytes 8-11.
inline int q3_scale(const std::byte* s, int j) {
  const uint32_t low = j < 8 ? load_u8(s + j) & 15u : load_u8(s + j - 8) >> 4;
  const uint32_t top = (load_u8(s + 8 + j % 4) >> (2 * (j / 4))) & 3u;
  return static_cast<int>(low | (top << 4)) - 32;
}

}  // namespace tessera

#endif  // TESSERA_QUANT_K_QUANTS_H_
