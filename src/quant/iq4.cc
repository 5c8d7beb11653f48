// Four-bit codes into a fixed table of unevenly spaced levels, denser near zero where weights are (GGUF types IQ4_NL,
// IQ4_XS).
//   IQ4_NL, 32 elements:   f16 d, 16 bytes of codes           x = d level(q)
//   IQ4_XS, 256 elements:  f16 d, u16 scales_high, 4 bytes scales_low, 128 bytes of codes
//                          x = d (sc - 32) level(q), a six-bit sc for each 32 elements: four low bits in scales_low,
//                          two top bits in scales_high
// Byte j of 16 holds elements j (low nibble) and j + 16 of its 32.
#include "quant/super_block.h"

namespace tessera {
namespace {

constexpr int kBlock = 32;

constexpr TableLevels kIq4Levels({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113});

uint32_t code_at(const std::byte* qs, int i) { return i < 16 ? load_u8(qs + i) & 15u : load_u8(qs + i - 16) >> 4; }

void unpack_codes(const std::byte* qs, float scale, float* out) {
  for (int i = 0; i < kBlock; ++i) out[i] = scale * kIq4Levels.value(static_cast<int>(code_at(qs, i)));
}

void store_codes(const int* codes, std::byte* qs) {
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<std::byte>(codes[j] | (codes[j + 16] << 4));
}

}  // namespace

void unpack_iq4_nl(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 18) unpack_codes(row + 2, load_f16(row), out + i);
}

void unpack_iq4_xs(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 136) {
    const float d = load_f16(row);
    const uint32_t high = load<uint16_t>(row + 2);
    for (int j = 0; j < kSuperBlock / kBlock; ++j) {
      const uint32_t low = (load_u8(row + 4 + j / 2) >> (4 * (j % 2))) & 15u;
      const int scale = static_cast<int>(low | (((high >> (2 * j)) & 3u) << 4)) - 32;
      unpack_codes(row + 8 + 16 * j, d * static_cast<float>(scale), out + i + kBlock * j);
    }
  }
}

void pack_iq4_nl(const float* values, const float* importance, std::byte* row, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 18) {
    const float* x = values + i;
    const uint16_t scale = to_f16_scale(search_scale(kIq4Levels, x, importance ? importance + i : nullptr, kBlock));
    const float d = f16_to_f32(scale);
    const float inverse = d != 0 ? 1.0f / d : 0.0f;
    std::array<int, kBlock> codes;
    for (size_t j = 0; j < kBlock; ++j) codes[j] = kIq4Levels.nearest(x[j] * inverse);
    store(row, scale);
    store_codes(codes.data(), row + 2);
  }
}

void pack_iq4_xs(const float* values, const float* importance, std::byte* row, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 136) {
    const ScaledBlock block =
        pack_scaled(kIq4Levels, {kBlock, -32, 31}, values + i, importance ? importance + i : nullptr);
    std::memset(row, 0, 8);
    store(row, f32_to_f16(block.d));
    uint32_t high = 0;
    for (int j = 0; j < kSuperBlock / kBlock; ++j) {
      const int scale = block.scale[static_cast<size_t>(j)] + 32;
      high |= static_cast<uint32_t>(scale >> 4) << (2 * j);
      row[4 + j / 2] |= static_cast<std::byte>((scale & 15) << (4 * (j % 2)));
      store_codes(block.code.data() + kBlock * j, row + 8 + 16 * j);
    }
    store(row + 2, static_cast<uint16_t>(high));
  }
}

}  // namespace tessera
