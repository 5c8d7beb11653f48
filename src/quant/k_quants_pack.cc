// Writing K-quants: choose the numbers (super_block.h), then lay the bits (k_quants.h).
#include "quant/super_block.h"

namespace tessera {
namespace {

template <class Function>
void each_super_block(const float* values, const float* importance, std::byte* row, int64_t elements, int block_bytes,
                      Function block) {
  for (int64_t i = 0; i < elements; i += kSuperBlock, row += block_bytes) {
    std::memset(row, 0, static_cast<size_t>(block_bytes));
    block(values + i, importance ? importance + i : nullptr, row);
  }
}

void add_bits(std::byte* byte, int bits, int shift) { *byte |= static_cast<std::byte>(bits << shift); }

// Six-bit scales and minima of Q4_K and Q5_K (k_scale, k_minimum).
void store_k_scales(const AffineBlock& block, std::byte* s) {
  for (int j = 0; j < 4; ++j) {
    const auto low = static_cast<size_t>(j), high = low + 4;
    add_bits(s + j, block.scale[low] | ((block.scale[high] >> 4) << 6), 0);
    add_bits(s + j + 4, block.minimum[low] | ((block.minimum[high] >> 4) << 6), 0);
    add_bits(s + j + 8, (block.scale[high] & 15) | ((block.minimum[high] & 15) << 4), 0);
  }
}

}  // namespace

void pack_q2_k(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_super_block(values, importance, row, elements, 84, [](const float* x, const float* w, std::byte* bytes) {
    const AffineBlock block = pack_affine_block({16, 3, 15}, x, w);
    for (size_t j = 0; j < 16; ++j) add_bits(bytes + j, block.scale[j] | (block.minimum[j] << 4), 0);
    for (int e = 0; e < kSuperBlock; ++e) {
      add_bits(bytes + 16 + 32 * (e / 128) + e % 32, block.code[static_cast<size_t>(e)], 2 * (e % 128 / 32));
    }
    store(bytes + 80, f32_to_f16(block.d));
    store(bytes + 82, f32_to_f16(block.dmin));
  });
}

void pack_q3_k(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_super_block(values, importance, row, elements, 110, [](const float* x, const float* w, std::byte* bytes) {
    const ScaledBlock block = pack_scaled(IntegerLevels{-4, 3}, {16, -32, 31}, x, w);
    for (int e = 0; e < kSuperBlock; ++e) {
      const int q = block.code[static_cast<size_t>(e)] + 4;
      add_bits(bytes + e % 32, q >> 2, e / 32);
      add_bits(bytes + 32 + 32 * (e / 128) + e % 32, q & 3, 2 * (e % 128 / 32));
    }
    for (int j = 0; j < 16; ++j) {
      const int scale = block.scale[static_cast<size_t>(j)] + 32;
      add_bits(bytes + 96 + j % 8, scale & 15, 4 * (j / 8));
      add_bits(bytes + 104 + j % 4, scale >> 4, 2 * (j / 4));
    }
    store(bytes + 108, f32_to_f16(block.d));
  });
}

void pack_q4_k(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_super_block(values, importance, row, elements, 144, [](const float* x, const float* w, std::byte* bytes) {
    const AffineBlock block = pack_affine_block({32, 15, 63}, x, w);
    store(bytes, f32_to_f16(block.d));
    store(bytes + 2, f32_to_f16(block.dmin));
    store_k_scales(block, bytes + 4);
    for (int e = 0; e < kSuperBlock; ++e) {
      add_bits(bytes + 16 + 32 * (e / 64) + e % 32, block.code[static_cast<size_t>(e)], 4 * (e % 64 / 32));
    }
  });
}

void pack_q5_k(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_super_block(values, importance, row, elements, 176, [](const float* x, const float* w, std::byte* bytes) {
    const AffineBlock block = pack_affine_block({32, 31, 63}, x, w);
    store(bytes, f32_to_f16(block.d));
    store(bytes + 2, f32_to_f16(block.dmin));
    store_k_scales(block, bytes + 4);
    for (int e = 0; e < kSuperBlock; ++e) {
      const int q = block.code[static_cast<size_t>(e)];
      add_bits(bytes + 16 + e % 32, q >> 4, e / 32);
      add_bits(bytes + 48 + 32 * (e / 64) + e % 32, q & 15, 4 * (e % 64 / 32));
    }
  });
}

void pack_q6_k(const float* values, const float* importance, std::byte* row, int64_t elements) {
  each_super_block(values, importance, row, elements, 210, [](const float* x, const float* w, std::byte* bytes) {
    const ScaledBlock block = pack_scaled(IntegerLevels{-32, 31}, {16, -128, 127}, x, w);
    for (int e = 0; e < kSuperBlock; ++e) {
      const int q = block.code[static_cast<size_t>(e)] + 32;
      add_bits(bytes + 64 * (e / 128) + e % 64, q & 15, 4 * (e % 128 / 64));
      add_bits(bytes + 128 + 32 * (e / 128) + e % 32, q >> 4, 2 * (e % 128 / 32));
    }
    for (size_t j = 0; j < 16; ++j) bytes[192 + j] = static_cast<std::byte>(block.scale[j]);
    store(bytes + 208, f32_to_f16(block.d));
  });
}

}  // namespace tessera
