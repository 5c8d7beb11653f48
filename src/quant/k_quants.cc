#include "quant/k_quants.h"

namespace tessera {

void unpack_q2_k(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 84) {
    const std::byte* qs = row + 16;
    const float d = load_f16(row + 80), dmin = load_f16(row + 82);
    for (int e = 0; e < kSuperBlock; ++e) {
      const uint32_t packed = load_u8(row + e / 16);
      const float scale = d * static_cast<float>(packed & 15u);
      const float minimum = dmin * static_cast<float>(packed >> 4);
      const uint32_t q = (load_u8(qs + 32 * (e / 128) + e % 32) >> (2 * (e % 128 / 32))) & 3u;
      out[i + e] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void unpack_q3_k(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 110) {
    const std::byte *high = row, *qs = row + 32, *scales = row + 96;
    const float d = load_f16(row + 108);
    for (int e = 0; e < kSuperBlock; ++e) {
      const float scale = d * static_cast<float>(q3_scale(scales, e / 16));
      const uint32_t low = (load_u8(qs + 32 * (e / 128) + e % 32) >> (2 * (e % 128 / 32))) & 3u;
      const uint32_t top = (load_u8(high + e % 32) >> (e / 32)) & 1u;
      out[i + e] = scale * static_cast<float>(static_cast<int>(low | (top << 2)) - 4);
    }
  }
}

void unpack_q4_k(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 144) {
    const std::byte *scales = row + 4, *qs = row + 16;
    const float d = load_f16(row), dmin = load_f16(row + 2);
    for (int e = 0; e < kSuperBlock; ++e) {
      const float scale = d * static_cast<float>(k_scale(scales, e / 32));
      const float minimum = dmin * static_cast<float>(k_minimum(scales, e / 32));
      const uint32_t q = (load_u8(qs + 32 * (e / 64) + e % 32) >> (4 * (e % 64 / 32))) & 15u;
      out[i + e] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void unpack_q5_k(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 176) {
    const std::byte *scales = row + 4, *high = row + 16, *qs = row + 48;
    const float d = load_f16(row), dmin = load_f16(row + 2);
    for (int e = 0; e < kSuperBlock; ++e) {
      const float scale = d * static_cast<float>(k_scale(scales, e / 32));
      const float minimum = dmin * static_cast<float>(k_minimum(scales, e / 32));
      const uint32_t low = (load_u8(qs + 32 * (e / 64) + e % 32) >> (4 * (e % 64 / 32))) & 15u;
      const uint32_t top = (load_u8(high + e % 32) >> (e / 32)) & 1u;
      out[i + e] = scale * static_cast<float>(low | (top << 4)) - minimum;
    }
  }
}

void unpack_q6_k(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += 210) {
    const std::byte *low = row, *high = row + 128, *scales = row + 192;
    const float d = load_f16(row + 208);
    for (int e = 0; e < kSuperBlock; ++e) {
      const float scale = d * static_cast<float>(load<int8_t>(scales + e / 16));
      const uint32_t four = (load_u8(low + 64 * (e / 128) + e % 64) >> (4 * (e % 128 / 64))) & 15u;
      const uint32_t two = (load_u8(high + 32 * (e / 128) + e % 32) >> (2 * (e % 128 / 32))) & 3u;
      out[i + e] = scale * static_cast<float>(static_cast<int>(four | (two << 4)) - 32);
    }
  }
}

}  // namespace tessera
