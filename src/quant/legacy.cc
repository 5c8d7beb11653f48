// Blocks of 32 with an f16 scale, and a minimum in the *_1 types (GGUF types Q4_0 Q4_1 Q5_0 Q5_1 Q8_0).
//   Q8_0: f16 d, 32 x int8               x = d q
//   Q4_0: f16 d, 16 bytes                x = d (q - 8)
//   Q4_1: f16 d, f16 m, 16 bytes         x = d q + m
//   Q5_0: f16 d, u32 high, 16 bytes      x = d (q - 16)
//   Q5_1: f16 d, f16 m, u32 high, 16 B   x = d q + m
// Byte j holds element j in its low and element j + 16 in its high nibble; bit i of `high` is bit 4 of element i.
#include "quant/block_codecs.h"
#include "quant/scale_search.h"

namespace tessera {
namespace {

constexpr int kBlock = 32;
constexpr int kHalf = kBlock / 2;

uint32_t nibble(const std::byte* qs, int i) { return i < kHalf ? load_u8(qs + i) & 15u : load_u8(qs + i - kHalf) >> 4; }

void store_nibbles(const std::array<int, kBlock>& codes, std::byte* qs) {
  for (int j = 0; j < kHalf; ++j) {
    qs[j] = static_cast<std::byte>((codes[static_cast<size_t>(j)] & 15) |
                                   ((codes[static_cast<size_t>(j + kHalf)] & 15) << 4));
  }
}

uint32_t high_bits(const std::array<int, kBlock>& codes) {
  uint32_t high = 0;
  for (uint32_t i = 0; i < kBlock; ++i) high |= static_cast<uint32_t>((codes[i] >> 4) & 1) << i;
  return high;
}

// Calls block(values, importance, bytes) for each block of a row.
template <class Function>
void each_block(const float* values, const float* importance, std::byte* row, int64_t elements, int block_bytes,
                Function block) {
  for (int64_t i = 0; i < elements; i += kBlock, row += block_bytes) {
    block(values + i, importance ? importance + i : nullptr, row);
  }
}

// Searches and stores the f16 scale; codes are level - levels.low.
std::array<int, kBlock> pack_symmetric(const IntegerLevels& levels, const float* x, const float* importance,
                                       std::byte* scale_bytes) {
  const uint16_t scale = to_f16_scale(search_scale(levels, x, importance, kBlock));
  store(scale_bytes, scale);
  const float d = f16_to_f32(scale);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  std::array<int, kBlock> codes;
  for (size_t i = 0; i < kBlock; ++i) codes[i] = levels.nearest(x[i] * inverse) - levels.low;
  return codes;
}

// Searches and stores f16 scale and f16 minimum.
std::array<int, kBlock> pack_affine(int high, const float* x, const float* importance, std::byte* bytes) {
  const AffineFit fit = search_affine(high, Minimum::kAny, x, importance, kBlock);
  store(bytes, to_f16_scale(fit.scale));
  store(bytes + 2, to_f16_scale(fit.minimum));
  const float d = load_f16(bytes), m = load_f16(bytes + 2);
  std::array<int, kBlock> codes;
  for (size_t i = 0; i < kBlock; ++i) codes[i] = affine_level(high, x[i], d, m);
  return codes;
}

}  // namespace

void unpack_q8_0(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 34) {
    const float d = load_f16(row);
    for (int j = 0; j < kBlock; ++j) out[i + j] = d * static_cast<float>(load<int8_t>(row + 2 + j));
  }
}

void unpack_q4_0(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 18) {
    const float d = load_f16(row);
    for (int j = 0; j < kBlock; ++j) out[i + j] = d * static_cast<float>(static_cast<int>(nibble(row + 2, j)) - 8);
  }
}

void unpack_q4_1(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 20) {
    const float d = load_f16(row), m = load_f16(row + 2);
    for (int j = 0; j < kBlock; ++j) out[i + j] = d * static_cast<float>(nibble(row + 4, j)) + m;
  }
}

void unpack_q5_0(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 22) {
    const float d = load_f16(row);
    const auto high = load<uint32_t>(row + 2);
    for (int j = 0; j < kBlock; ++j) {
      const uint32_t q = nibble(row + 6, j) | (((high >> j) & 1u) << 4);
      out[i + j] = d * static_cast<float>(static_cast<int>(q) - 16);
    }
  }
}

void unpack_q5_1(const std::byte* row, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; i += kBlock, row += 24) {
    const float d = load_f16(row), m = load_f16(row + 2);
    const auto high = load<uint32_t>(row + 4);
    for (int j = 0; j < kBlock; ++j) {
      const uint32_t q = nibble(row + 8, j) | (((high >> j) & 1u) << 4);
      out[i + j] = d * static_cast<float>(q) + m;
    }
  }
}

void pack_q8_0(const float* values, const float* importance, std::byte* row, int64_t elements) {
  // -128 is left out: kernels may negate a code, and the level gains nothing.
  each_block(values, importance, row, elements, 34, [](const float* x, const float* w, std::byte* bytes) {
    const auto codes = pack_symmetric({-127, 127}, x, w, bytes);
    for (size_t i = 0; i < kBlock; ++i) bytes[2 + i] = static_cast<std::byte>(codes[i] - 127);
  });
}

void pack_q4_0(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_block(values, importance, row, elements, 18, [](const float* x, const float* w, std::byte* bytes) {
    store_nibbles(pack_symmetric({-8, 7}, x, w, bytes), bytes + 2);
  });
}

void pack_q5_0(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_block(values, importance, row, elements, 22, [](const float* x, const float* w, std::byte* bytes) {
    const auto codes = pack_symmetric({-16, 15}, x, w, bytes);
    store(bytes + 2, high_bits(codes));
    store_nibbles(codes, bytes + 6);
  });
}

void pack_q4_1(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_block(values, importance, row, elements, 20, [](const float* x, const float* w, std::byte* bytes) {
    store_nibbles(pack_affine(15, x, w, bytes), bytes + 4);
  });
}

void pack_q5_1(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_block(values, importance, row, elements, 24, [](const float* x, const float* w, std::byte* bytes) {
    const auto codes = pack_affine(31, x, w, bytes);
    store(bytes + 4, high_bits(codes));
    store_nibbles(codes, bytes + 8);
  });
}

}  // namespace tessera
