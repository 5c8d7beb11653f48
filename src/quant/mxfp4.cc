// MXFP4 of the OCP Microscaling specification v1.0: 32 elements in FP4 (E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6, signed) with
// one power of two (E8M0: 2^(e - 127)). Bytes: e, then 16 bytes of codes, byte j with elements j (low nibble) and j
// + 16. The arithmetic uses doubled levels and 2^(e - 128), so that levels are integers; e = 255 (NaN in the
// specification) is read as 2^127 in that convention, as in public GGUF readers.
#include <bit>

#include "quant/scale_search.h"

namespace tessera {
namespace {

constexpr int kBlock = 32;
constexpr int kBlockBytes = 17;

constexpr std::array<float, 16> kDoubledLevels = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(e - 128); below 2^-126 it is subnormal.
float half_power(uint32_t e) { return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23); }

// FP4 is sign and magnitude: the nearest magnitude, with the sign of x. Ties go to the even code.
uint32_t nearest_code(float x) {
  constexpr std::array<float, 7> kMidpoints = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
  const float magnitude = std::fabs(x);
  uint32_t code = 0;
  while (code < 7 && (code % 2 == 0 ? magnitude > kMidpoints[code] : magnitude >= kMidpoints[code])) ++code;
  return code == 0 || x > 0 ? code : code | 8u;
}

float block_error(const float* x, const float* importance, float scale) {
  float error = 0;
  for (int i = 0; i < kBlock; ++i) {
    const float diff = x[i] - scale * kDoubledLevels[nearest_code(x[i] / scale)];
    error += weight_of(importance, i) * diff * diff;
  }
  return error;
}

// The exponent that puts the largest element in the top binade of FP4, or one of its neighbours where that is better:
// one below clips the largest element, one above wastes the top binade.
uint32_t search_exponent(const float* x, const float* importance) {
  const float largest = largest_magnitude(x, kBlock);
  if (!(largest > 0)) return 0;
  const int top = std::clamp(std::ilogb(largest) - 2 + 127, 0, 254);
  float best_error = INFINITY;
  int best = top;
  for (int e = std::max(top - 1, 0); e <= std::min(top + 1, 254); ++e) {
    const float error = block_error(x, importance, half_power(static_cast<uint32_t>(e)));
    if (error < best_error) best_error = error, best = e;
  }
  return static_cast<uint32_t>(best);
}

}  // namespace

void unpack_mxfp4(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += kBlockBytes) {
    const float scale = half_power(load_u8(row));
    for (int j = 0; j < kBlock / 2; ++j) {
      const uint32_t byte = load_u8(row + 1 + j);
      out[i + j] = scale * kDoubledLevels[byte & 15u];
      out[i + j + kBlock / 2] = scale * kDoubledLevels[byte >> 4];
    }
  }
}

void pack_mxfp4(const float* values, const float* importance, std::byte* row, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += kBlockBytes) {
    const float* x = values + i;
    const uint32_t e = search_exponent(x, importance ? importance + i : nullptr);
    const float scale = half_power(e);
    row[0] = static_cast<std::byte>(e);
    for (int j = 0; j < kBlock / 2; ++j) {
      const uint32_t low = nearest_code(x[j] / scale), high = nearest_code(x[j + kBlock / 2] / scale);
      row[1 + j] = static_cast<std::byte>(low | (high << 4));
    }
  }
}

}  // namespace tessera
