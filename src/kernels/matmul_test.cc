// Matmul kernels of every layer that this processor has, against the generic ones: block types bit for bit, float types
// within the rounding of their sums. (Generic against double loops over the oracle's unpacked weights: ops/linear_test.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/cpu_features.h"
#include "kernels/kernels.h"
#include "kernels/packed_codec.h"
#include "quant/block_format.h"
#include "quant/float16.h"
#include "tensor/dtype.h"

namespace tessera {
namespace {

constexpr int64_t kBlocks = 16;

// Blocks of a row: whole groups of activations, and for codecs that allow it rows that end inside a group.
std::vector<int64_t> row_blocks(PackedCodec codec) {
  if (dtype_info(packed_codec_info(codec).dtype).block_elements != kBlockCols) return {kBlocks};
  return {kBlocks, kBlocks + 1, kBlocks + 2, kBlocks + 3};
}

struct Tile {
  std::vector<int8_t> codes;
  std::vector<int32_t> start32, start16;
  std::vector<int16_t> pair32, pair16;
  std::vector<float> scale;
  BlockTile view;
};

Tile make_tile(int64_t cols, int64_t width, int64_t group_blocks, bool rounds = false) {
  const int64_t blocks = (cols + kBlockCols - 1) / kBlockCols;
  Tile t;
  t.codes.resize(blocks * 32 * width);
  t.start32.resize(blocks * width);
  t.start16.resize(blocks * 2 * width);
  t.pair32.resize((blocks + 1) / 2 * 2 * width);
  t.pair16.resize(blocks * 2 * width);
  t.scale.resize((blocks + group_blocks - 1) / group_blocks * width);
  t.view = {t.codes.data(),  t.start32.data(), t.start16.data(), t.pair32.data(),
            t.pair16.data(), t.scale.data(),     width,           group_blocks};
  if (rounds) std::copy_n(kRounding, 2, t.view.rounding);
  return t;
}
Tile make_tile(int64_t cols, int64_t width, PackedCodec codec) {
  const BlockKindInfo info = block_kind_info(packed_codec_info(codec).kind);
  return make_tile(cols, width, info.group_blocks, info.rounds);
}

std::vector<float> normal_values(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

bool has_row_scale(PackedCodec codec) { return block_kind_info(packed_codec_info(codec).kind).row_scale; }

// Any bytes are valid codes; the fields that are f16 get small positive numbers, scales of rows a power of two and 16-bit
// integers, any but -32768, or the largest.
std::vector<uint8_t> random_panel(PackedCodec codec, int64_t cols, std::optional<uint8_t> fill = {}) {
  std::vector<uint8_t> panel(packed_panel_bytes(codec, cols));
  std::mt19937 random(static_cast<uint32_t>(codec));
  for (auto& b : panel) b = fill ? *fill : static_cast<uint8_t>(random());
  const PackedCodecInfo& info = packed_codec_info(codec);
  if (has_row_scale(codec)) {
    for (int r = 0; r < kPanelRows; ++r) {
      const float scale = std::ldexp(1.0f, -22 - r % 3);
      std::memcpy(panel.data() + 4 * r, &scale, 4);
    }
    const int64_t block_bytes = info.group_bytes * kBlockCols / info.group_cols;
    for (auto at = static_cast<int64_t>(info.head_bytes); at + block_bytes <= std::ssize(panel); at += block_bytes) {
      for (int i = 0; i < kPanelRows; ++i) {
        const int drawn = static_cast<int>(random() % 65535) - 32767;
        const auto scale = static_cast<int16_t>(!fill ? drawn : i % 2 == 0 ? 32767 : (drawn > 0 ? 32767 : -32767));
        std::memcpy(panel.data() + at + 2 * i, &scale, 2);
      }
    }
    return panel;
  }
  const bool two = info.kind == kScale32Bias || info.kind == kScale32Min || info.kind == kScale16Min;
  for (int64_t g = 0; g < cols / info.group_cols; ++g) {
    uint8_t* group = panel.data() + g * info.group_bytes;
    for (int r = 0; r < kPanelRows && codec == kPackedMXFP4; ++r) group[r] = static_cast<uint8_t>(random() % 140);
    for (int r = 0; r < kPanelRows * (two ? 2 : 1); ++r) {
      const uint16_t half = static_cast<uint16_t>(0x2000 + random() % 0x800);
      if (codec != kPackedMXFP4) std::memcpy(group + 2 * r, &half, 2);
    }
  }
  return panel;
}

struct Sums {
  std::vector<float> y;
  TileOutput out;
  Sums(int64_t width, const float* add) : y(width * kPanelRows) {
    out = {nullptr, 0, y.data(), kPanelRows, add, kPanelRows};
  }
};

// `ahead`: as one of several tiles, which fetch a share of the next panel (here of this one).
std::vector<float> run_few(const MatmulKernels& k, PackedCodec codec, const std::vector<uint8_t>& panel, const Tile& x,
                           int64_t blocks, const float* add, bool ahead = false) {
  Sums sums(x.view.width, add);
  k.few[codec](BlockTask{panel.data(), nullptr, x.view, blocks, sums.out, ahead ? panel.data() : nullptr, ahead ? 64 : 0});
  return sums.y;
}

// A range of a panel, unpacked.
struct Unpacked {
  std::vector<uint8_t> codes = std::vector<uint8_t>(kUnpackBlocks * kUnpackedBlockBytes);
  std::vector<float> scale = std::vector<float>(kUnpackBlocks * kPanelRows), bias = scale, d_min = scale;
  std::vector<int32_t> int_scale = std::vector<int32_t>(kUnpackBlocks * 2 * kPanelRows);
  std::vector<int16_t> mins = std::vector<int16_t>(kUnpackBlocks * 2 * kPanelRows);
  UnpackedPanel view{nullptr,     0,           0,           scale.data(), int_scale.data(),
                     bias.data(), mins.data(), d_min.data(), codes.data()};
};

// In two ranges, the sums passing through memory between them.
std::vector<float> run_many(const MatmulKernels& k, PackedCodec codec, const std::vector<uint8_t>& panel, const Tile& x,
                            int64_t blocks, const float* add) {
  Unpacked w;
  Sums sums(x.view.width, nullptr);
  for (int64_t first : {int64_t{0}, kBlocks / 2}) {
    const int64_t count = first == 0 ? kBlocks / 2 : blocks - first;
    k.unpack[codec](panel.data(), first, count, w.view);
    if (first > 0) {
      sums.out.c_in = sums.y.data();
      sums.out.c_in_stride = kPanelRows;
      sums.out.add = add;
    }
    const BlockTask task{nullptr, &w.view, advance(x.view, first), count, sums.out};
    k.many[packed_codec_info(codec).kind](&task, 1);
  }
  return sums.y;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Tables capped at each layer that the processor has.
std::vector<std::pair<std::string, MatmulKernels>> layers() {
  std::vector<std::pair<std::string, MatmulKernels>> result;
  for (const KernelLayer& layer : kernel_layers()) {
    if (const auto table = build_kernel_table(layer.name, cpu_features()); table.ok()) {
      result.emplace_back(layer.name, table->matmul);
    }
  }
  return result;
}

TEST(MatmulKernels, BlockTypesGiveTheSameBitsInEveryLayerAndFamily) {
  const auto tables = layers();
  const MatmulKernels& generic = tables[0].second;
  for (int c = 0; c < kBlockCodecs; ++c) {
    const auto codec = static_cast<PackedCodec>(c);
    for (int64_t blocks : row_blocks(codec)) {
      const int64_t cols = blocks * kBlockCols;
      const auto panel = random_panel(codec, cols);
      for (int64_t width = 1; width <= kBlockTokens; ++width) {
        SCOPED_TRACE("codec " + std::to_string(c) + " blocks " + std::to_string(blocks) + " width " +
                     std::to_string(width));
        const auto x = normal_values(width * cols, 3);
        const auto add = normal_values(width * kPanelRows, 4);
        Tile tile = make_tile(cols, width, codec);
        generic.quantize_blocks(x.data(), cols, cols, tile.view);
        const auto want = run_few(generic, codec, panel, tile, blocks, add.data());
        for (float v : want) ASSERT_TRUE(std::isfinite(v));
        for (const auto& [name, table] : tables) {
          EXPECT_TRUE(same_bits(run_few(table, codec, panel, tile, blocks, add.data()), want)) << name << " few";
          EXPECT_TRUE(same_bits(run_few(table, codec, panel, tile, blocks, add.data(), true), want)) << name << " few tiles";
          EXPECT_TRUE(same_bits(run_many(table, codec, panel, tile, blocks, add.data()), want)) << name << " many";
        }
      }
    }
  }
}

// Layers that add products in 16 bits must not overflow. The largest codes: all bits; of the types whose nibbles stand for
// entries of a table 28 of MXFP4 (nibble 7), and of IQ4 79 (nibble 4), the largest low half of a code, and 1 (nibble 0).
TEST(MatmulKernels, LargestCodesAndActivationsGiveTheSameBitsInEveryLayer) {
  const auto tables = layers();
  const MatmulKernels& generic = tables[0].second;
  constexpr int64_t cols = kBlocks * kBlockCols;
  for (int c = 0; c < kBlockCodecs; ++c) {
    const auto codec = static_cast<PackedCodec>(c);
    for (uint8_t fill : {0xff, 0x77, 0x44, 0x00}) {
      const auto panel = random_panel(codec, cols, fill);
      for (float value : {1.0f, -1.0f}) {
        for (int64_t width : {1, 6}) {
          const std::vector<float> x(width * cols, value), add(width * kPanelRows);
          Tile tile = make_tile(cols, width, codec);
          generic.quantize_blocks(x.data(), cols, cols, tile.view);
          const auto want = run_few(generic, codec, panel, tile, kBlocks, add.data());
          for (const auto& [name, table] : tables) {
            EXPECT_TRUE(same_bits(run_few(table, codec, panel, tile, kBlocks, add.data()), want))
                << name << " few codec " << c << " fill " << int{fill};
            EXPECT_TRUE(same_bits(run_many(table, codec, panel, tile, kBlocks, add.data()), want))
                << name << " many codec " << c << " fill " << int{fill};
          }
        }
      }
    }
  }
}

// Super-blocks multiply sums by scales in 32 bits: with the largest of both nothing wraps around.
TEST(MatmulKernels, LargestIntegerScalesGiveTheSameBitsInEveryLayer) {
  const auto tables = layers();
  const MatmulKernels& generic = tables[0].second;
  constexpr int64_t cols = kBlocks * kBlockCols;
  struct Case {
    PackedCodec codec;
    int head, blocks_at, block_bytes;  // f16 numbers before the scales, codes
    uint8_t scale;
    double product;  // scale * (code - offset), by code 0 and the largest
    double largest;
  };
  constexpr int r = kPanelRows;
  const Case cases[] = {{kPackedQ6_K, 2 * r, 18 * r, 24 * r, 0x80, -128.0 * -32, -128.0 * 31},
                        {kPackedQ6_K, 2 * r, 18 * r, 24 * r, 0x7f, 127.0 * -32, 127.0 * 31},
                        {kPackedQ3_K, 2 * r, 18 * r, 12 * r, 0x80, -128.0 * -4, -128.0 * 3},
                        {kPackedQ5_K, 4 * r, 20 * r, 20 * r, 0xff, 0, 255.0 * 31},
                        {kPackedQ4_K, 4 * r, 20 * r, 16 * r, 0xff, 0, 255.0 * 15},
                        {kPackedQ2_K, 4 * r, 20 * r, 8 * r, 0x0f, 0, 15.0 * 3}};
  for (const Case& c : cases) {
    const bool mins = c.head == 4 * r;
    for (uint8_t code : {0x00, 0xff}) {
      std::vector<uint8_t> panel(packed_panel_bytes(c.codec, cols));
      const int group_bytes = packed_codec_info(c.codec).group_bytes;
      for (size_t g = 0; g < panel.size(); g += static_cast<size_t>(group_bytes)) {
        uint8_t* group = panel.data() + g;
        const uint16_t d = 0x2000;  // 2^-7; d_min is zero
        for (int row = 0; row < r; ++row) std::memcpy(group + 2 * row, &d, 2);
        std::fill(group + c.head, group + c.blocks_at, c.scale);
        std::fill(group + c.blocks_at, group + group_bytes, code);
      }
      for (float value : {1.0f, -1.0f}) {
        SCOPED_TRACE("codec " + std::to_string(c.codec) + " scale " + std::to_string(c.scale) + " code " +
                     std::to_string(code) + (mins ? " with minima" : ""));
        const std::vector<float> x(cols, value), add(kPanelRows);
        Tile tile = make_tile(cols, 1, kMostGroupBlocks);
        generic.quantize_blocks(x.data(), cols, cols, tile.view);
        const auto want = run_few(generic, c.codec, panel, tile, kBlocks, add.data());
        const double exact = double(cols) * value * (code == 0 ? c.product : c.largest) / 128;
        for (float v : want) ASSERT_NEAR(v, exact, std::fabs(exact) * 1e-6);
        for (const auto& [name, table] : tables) {
          EXPECT_TRUE(same_bits(run_few(table, c.codec, panel, tile, kBlocks, add.data()), want)) << name << " few";
          EXPECT_TRUE(same_bits(run_many(table, c.codec, panel, tile, kBlocks, add.data()), want)) << name << " many";
        }
      }
    }
  }
}

// Types with row_scale, in a panel whose rows all have row_scale 1: the bytes of a block.
struct RowScaled {
  PackedCodec codec;
  int offset, shift;    // of codes; of sums
  int32_t rounding[2];  // of sums, by block
  int block_bytes;
};
constexpr RowScaled kRowScaled[] = {{kPackedQ4_0, 8, 0, {0, 0}, 18 * kPanelRows},
                                    {kPackedQ5_0, 16, 1, {1, 0}, 22 * kPanelRows},
                                    {kPackedQ8_0, 128, 4, {8, 7}, 34 * kPanelRows}};
constexpr int kHead = 4 * kPanelRows;

std::vector<uint8_t> panel_of_ones(const RowScaled& type, int64_t cols, int16_t scale, uint8_t code_bytes) {
  std::vector<uint8_t> panel(packed_panel_bytes(type.codec, cols), code_bytes);
  for (int r = 0; r < kPanelRows; ++r) {
    const float one = 1;
    std::memcpy(panel.data() + 4 * r, &one, 4);
  }
  for (size_t at = kHead; at < panel.size(); at += type.block_bytes) {
    for (int i = 0; i < kPanelRows; ++i) std::memcpy(panel.data() + at + 2 * i, &scale, 2);
  }
  return panel;
}
int64_t as_sum(const RowScaled& type, int64_t dot, int64_t block) {
  return (dot + type.rounding[block % 2]) >> type.shift;  // floor
}

// The largest sums and scales against exact numbers: nothing wraps around in 16 or 32 bits.
TEST(MatmulKernels, LargestSumsOfRowScaledBlocksAreExact) {
  constexpr int64_t cols = kBlocks * kBlockCols;
  for (const RowScaled& type : kRowScaled) {
    for (int16_t scale : {32767, -32767}) {
      for (uint8_t bytes : {0x00, 0xff}) {
        for (float value : {1.0f, -1.0f}) {
          const auto panel = panel_of_ones(type, cols, scale, bytes);
          const std::vector<float> x(cols, value), add(kPanelRows);
          Tile tile = make_tile(cols, 1, type.codec);
          layers()[0].second.quantize_blocks(x.data(), cols, cols, tile.view);
          const int64_t code = (bytes == 0 ? 0 : 2 * type.offset - 1) - type.offset;
          const auto dot = static_cast<int64_t>(kBlockCols * 127 * value) * code;
          const double want = double(as_sum(type, dot, 0) + as_sum(type, dot, 1)) * scale * (kBlocks / 2) / 127;
          for (const auto& [name, table] : layers()) {
            for (const auto& y : {run_few(table, type.codec, panel, tile, kBlocks, add.data()),
                                  run_many(table, type.codec, panel, tile, kBlocks, add.data())}) {
              for (float v : y) ASSERT_NEAR(v, want, std::fabs(want) * 1e-6) << name << " codec " << type.codec << " code " << code;
            }
          }
        }
      }
    }
  }
}

// One product per row and block, scale 1: what comes out is the rounded sum itself. 127 v takes every remainder of 16.
TEST(MatmulKernels, SumsOfRowScaledBlocksRoundAsDocumented) {
  constexpr int64_t blocks = 3, cols = blocks * kBlockCols;
  for (const RowScaled& type : kRowScaled) {
    for (int64_t block = 0; block < blocks; ++block) {
      for (int column : {0, 13, 31}) {
        // Codes that stand for zero: 128; 16, whose nibble is 0 and whose bit is 1; 8.
        auto panel = panel_of_ones(type, cols, 1, type.codec == kPackedQ8_0 ? 0x80 : type.codec == kPackedQ5_0 ? 0x00 : 0x88);
        for (int64_t b = 0; b < blocks && type.codec == kPackedQ5_0; ++b) {
          std::fill_n(panel.data() + kHead + b * type.block_bytes + 2 * kPanelRows, 4 * kPanelRows, uint8_t{0xff});
        }
        uint8_t* codes = panel.data() + kHead + block * type.block_bytes + 2 * kPanelRows;
        const int step = column / 4;
        const auto value = [&](int row) { return type.codec == kPackedQ4_0 ? row % 16 - 8 : row - 16; };
        for (int row = 0; row < kPanelRows; ++row) {
          const int code = value(row) + type.offset, lane = row * 4 + column % 4;
          if (type.codec == kPackedQ8_0) {
            codes[step * 128 + lane] = static_cast<uint8_t>(code);
            continue;
          }
          if (type.codec == kPackedQ5_0 && code < 16) codes[lane] = static_cast<uint8_t>(codes[lane] & ~(1 << step));
          uint8_t& nibbles = codes[(type.codec == kPackedQ5_0 ? 4 * kPanelRows : 0) + step % 4 * 128 + lane];
          nibbles = static_cast<uint8_t>(step < 4 ? (nibbles & 0xf0) | (code & 0xf) : (nibbles & 0x0f) | (code & 0xf) << 4);
        }
        std::vector<float> x(cols), add(kPanelRows);
        x[block * kBlockCols + column] = 1;
        Tile tile = make_tile(cols, 1, type.codec);
        layers()[0].second.quantize_blocks(x.data(), cols, cols, tile.view);
        for (const auto& [name, table] : layers()) {
          const auto y = run_few(table, type.codec, panel, tile, blocks, add.data());
          for (int row = 0; row < kPanelRows; ++row) {
            EXPECT_NEAR(y[row] * 127, static_cast<double>(as_sum(type, 127 * value(row), block)), 1e-3)
                << name << " codec " << type.codec << " block " << block << " column " << column << " value " << value(row);
          }
        }
      }
    }
  }
}

// The f16 scales of a row as integers times a power of two: exact down to a sixteenth of the largest (eleven digits of f16 in
// fifteen), below it within 2^-15 of the largest.
TEST(MatmulKernels, RowsOfBlockScalesKeepThem) {
  const MatmulKernels generic = layers()[0].second;
  const std::vector<uint16_t> halves = {0x3c01, 0xbfff, 0x3bff, 0x2c01, 0x2bff, 0x1fff, 0x9555, 0x0401, 0x8001, 0x0000, 0x8000};
  const auto n = static_cast<int64_t>(halves.size());
  for (const RowScaled& type : kRowScaled) {
    const PackedCodec codec = type.codec;
    const DType dtype = packed_codec_info(codec).dtype;
    const int64_t block_bytes = dtype_info(dtype).block_bytes, row_bytes = n * block_bytes;
    std::vector<std::byte> stored(kPanelRows * row_bytes);
    // Row r begins at scale r, the largest of its own among them: rows of subnormal and of no scales are there too.
    for (int64_t r = 0; r < kPanelRows; ++r) {
      for (int64_t b = 0; b < n; ++b) {
        std::memcpy(stored.data() + r * row_bytes + b * block_bytes, &halves[std::min(n - 1, r % n + b)], 2);
      }
    }
    std::vector<uint8_t> panel(packed_panel_bytes(codec, n * kBlockCols));
    Unpacked w;
    pack_panel(dtype, stored.data(), kPanelRows, row_bytes, n * kBlockCols, panel.data());
    generic.unpack[codec](panel.data(), 0, n, w.view);
    const double divided = 1 << type.shift;  // sums, before they meet scales
    for (int64_t r = 0; r < kPanelRows; ++r) {
      int exponent = 0;
      ASSERT_EQ(std::frexp(w.scale[r], &exponent), 0.5f);
      double largest = 0;
      for (int64_t b = 0; b < n; ++b) {
        largest = std::max(largest, std::fabs(double(f16_to_f32(halves[std::min(n - 1, r % n + b)]))));
      }
      for (int64_t b = 0; b < n; ++b) {
        const double d = f16_to_f32(halves[std::min(n - 1, r % n + b)]);
        const double got = double(w.scale[r]) / divided * w.int_scale[b * kPanelRows + r];
        EXPECT_LE(std::fabs(got - d), std::fabs(d) >= largest / 16 ? 0 : largest / 32768)
            << to_string(dtype) << " row " << r << " block " << b;
        EXPECT_LE(std::abs(w.int_scale[b * kPanelRows + r]), 32767);
      }
    }
    for (uint16_t bad : {0x7c00, 0xfc00, 0x7e00}) {  // infinities, NaN
      std::memcpy(stored.data() + 3 * row_bytes + block_bytes, &bad, 2);
      pack_panel(dtype, stored.data(), kPanelRows, row_bytes, n * kBlockCols, panel.data());
      generic.unpack[codec](panel.data(), 0, n, w.view);
      for (int64_t r = 0; r < kPanelRows; ++r) EXPECT_EQ(std::isnan(w.scale[r]), r == 3) << to_string(dtype) << " row " << r;
    }
  }
}

// Every finite f16 as a row's largest scale, with a sixteenth of it beside it.
TEST(MatmulKernels, EveryBlockScaleStaysExact) {
  const MatmulKernels generic = layers()[0].second;
  for (const RowScaled& type : kRowScaled) {
    const PackedCodec codec = type.codec;
    const DType dtype = packed_codec_info(codec).dtype;
    const int64_t block_bytes = dtype_info(dtype).block_bytes, cols = 2 * kBlockCols;
    std::vector<std::byte> stored(kPanelRows * 2 * block_bytes);
    std::vector<uint8_t> panel(packed_panel_bytes(codec, cols));
    Unpacked w;
    int wrong = 0;
    for (uint32_t first = 0; first < 0x10000; first += kPanelRows) {
      if ((first & 0x7c00) == 0x7c00) continue;  // infinities and NaNs
      const auto half = [&](int64_t r, int64_t b) {
        const auto d = static_cast<uint16_t>(first + r);
        return b == 0 ? d : f32_to_f16(f16_to_f32(d) / 16);
      };
      for (int64_t r = 0; r < kPanelRows; ++r) {
        for (int64_t b = 0; b < 2; ++b) {
          const uint16_t d = half(r, b);
          std::memcpy(stored.data() + (2 * r + b) * block_bytes, &d, 2);
        }
      }
      pack_panel(dtype, stored.data(), kPanelRows, 2 * block_bytes, cols, panel.data());
      generic.unpack[codec](panel.data(), 0, 2, w.view);
      for (int64_t r = 0; r < kPanelRows; ++r) {
        for (int64_t b = 0; b < 2; ++b) {
          wrong += double(w.scale[r]) / (1 << type.shift) * w.int_scale[b * kPanelRows + r] != f16_to_f32(half(r, b));
        }
      }
    }
    EXPECT_EQ(wrong, 0) << to_string(dtype);
  }
}

// What is no number comes out as no number, in every layer, and only where it went in.
TEST(MatmulKernels, InfinitiesAndNansArriveInEveryLayer) {
  const auto tables = layers();
  constexpr int64_t cols = kBlocks * kBlockCols;
  constexpr int bad_row = 5;
  for (int c = 0; c < kBlockCodecs; ++c) {
    const auto codec = static_cast<PackedCodec>(c);
    const auto x = normal_values(cols, 3);
    const std::vector<float> add(kPanelRows);
    for (uint16_t d : {0x7c00, 0x7e00}) {  // infinity, NaN
      if (codec == kPackedMXFP4) continue;  // its scales are powers of two
      auto panel = random_panel(codec, cols);
      const float wide = d == 0x7c00 ? std::numeric_limits<float>::infinity() : std::nanf("");
      if (has_row_scale(codec)) {
        std::memcpy(panel.data() + 4 * bad_row, &wide, 4);
      } else {
        std::memcpy(panel.data() + 2 * bad_row, &d, 2);
      }
      Tile tile = make_tile(cols, 1, codec);
      tables[0].second.quantize_blocks(x.data(), cols, cols, tile.view);
      for (const auto& [name, table] : tables) {
        for (const auto& y : {run_few(table, codec, panel, tile, kBlocks, add.data()),
                              run_many(table, codec, panel, tile, kBlocks, add.data())}) {
          for (int row = 0; row < kPanelRows; ++row) {
            EXPECT_EQ(std::isfinite(y[row]), row != bad_row) << name << " codec " << c << " row " << row;
          }
        }
      }
    }
    const auto panel = random_panel(codec, cols);
    for (float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), -std::nanf("")}) {
      for (int64_t at : {int64_t{7}, cols - 1}) {
        auto spoilt = x;
        spoilt[at] = bad;
        for (const auto& [name, table] : tables) {
          Tile tile = make_tile(cols, 1, codec);
          table.quantize_blocks(spoilt.data(), cols, cols, tile.view);
          for (const auto& y : {run_few(table, codec, panel, tile, kBlocks, add.data()),
                                run_many(table, codec, panel, tile, kBlocks, add.data())}) {
            for (float v : y) EXPECT_TRUE(std::isnan(v)) << name << " codec " << c << ", " << bad << " at " << at;
          }
        }
      }
    }
  }
}

TEST(MatmulKernels, QuantizedActivationsAreTheSameInEveryLayer) {
  const auto tables = layers();
  for (int64_t cols : {1, 31, 32, 100, 172, 512, 800}) {
    for (const auto& [group_blocks, rounds] : {std::pair<int64_t, bool>{2, false}, {2, true}, {4, false}, {8, false}}) {
      const int64_t width = cols % 2 == 0 ? 6 : 5;
      auto x = normal_values(width * cols, 3);
      if (cols > 40) std::fill(x.begin(), x.begin() + 40, 0.0f);
      Tile want = make_tile(cols, width, group_blocks, rounds);
      tables[0].second.quantize_blocks(x.data(), cols, cols, want.view);
      for (const auto& [name, table] : tables) {
        Tile got = make_tile(cols, width, group_blocks, rounds);
        table.quantize_blocks(x.data(), cols, cols, got.view);
        EXPECT_EQ(got.codes, want.codes) << name << " cols " << cols;
        EXPECT_EQ(got.start32, want.start32) << name;
        EXPECT_EQ(got.start16, want.start16) << name;
        EXPECT_EQ(got.pair32, want.pair32) << name;
        EXPECT_EQ(got.pair16, want.pair16) << name;
        EXPECT_EQ(got.scale, want.scale) << name;
      }
    }
  }
}

TEST(MatmulKernels, RowScaledInt8GivesTheSameBitsInEveryLayer) {
  const auto tables = layers();
  const int64_t cols = 320;
  std::vector<uint8_t> panel(cols * kPanelRows);
  std::mt19937 random(5);
  for (auto& b : panel) b = static_cast<uint8_t>(1 + random() % 255);
  const auto row_scale = normal_values(kPanelRows, 6);
  for (int64_t width = 1; width <= kBlockTokens; ++width) {
    const auto x = normal_values(width * cols, 7);
    std::vector<float> want;
    for (const auto& [name, table] : tables) {
      std::vector<int8_t> codes(cols * width);
      std::vector<int32_t> sum(width);
      std::vector<float> scale(width);
      const RowTile tile{codes.data(), sum.data(), scale.data(), width};
      table.quantize_rows(x.data(), cols, cols, tile);
      Sums sums(width, nullptr);
      table.row_w8(RowTask{panel.data(), row_scale.data(), tile, cols, sums.out});
      if (want.empty()) want = sums.y;
      EXPECT_TRUE(same_bits(sums.y, want)) << name << " width " << width;
    }
  }
}

// A float type's numbers after rounding to it, and the bytes they are stored as.
struct Stored {
  std::vector<std::byte> bytes;
  std::vector<float> values;
};
Stored stored_as(DType type, const std::vector<float>& x) {
  const auto n = static_cast<int64_t>(x.size());
  Stored s{std::vector<std::byte>(*row_bytes(type, x.size())), std::vector<float>(x.size())};
  block_format(type)->pack(x.data(), nullptr, s.bytes.data(), n);
  block_format(type)->unpack(s.bytes.data(), s.values.data(), n);
  return s;
}

// Weights of every float type against the exact product of what is stored; activations as they are or, where bf16 numbers
// meet in pairs, rounded to bf16.
TEST(MatmulKernels, FloatTypesStayWithinRounding) {
  const auto tables = layers();
  struct Type {
    DType dtype;
    PackedCodec codec;
    void (*MatmulKernels::*kernel)(const FloatTask&);
  };
  const Type types[] = {{DType::kF32, kPackedF32, &MatmulKernels::float_f32},
                        {DType::kF16, kPackedF16, &MatmulKernels::float_f16},
                        {DType::kBF16, kPackedBF16, &MatmulKernels::float_bf16}};
  for (int64_t cols : {173, 256}) {
    const int64_t even = (cols + 1) / 2 * 2;
    for (const Type& type : types) {
      const Stored w = stored_as(type.dtype, normal_values(kPanelRows * cols, 8));  // [32][cols]
      std::vector<uint8_t> panel(packed_panel_bytes(type.codec, cols));
      pack_panel(type.dtype, w.bytes.data(), kPanelRows, *row_bytes(type.dtype, cols), cols, panel.data());
      for (int64_t width : {1, 3, 6, 7, 12}) {
        const auto x = normal_values(width * cols, 9);
        const auto check = [&](const std::string& what, const Sums& got, const std::vector<float>& inputs) {
          for (int64_t t = 0; t < width; ++t) {
            for (int r = 0; r < kPanelRows; ++r) {
              double want = 0, magnitude = 0;
              for (int64_t k = 0; k < cols; ++k) {
                const double product = double(w.values[r * cols + k]) * inputs[t * cols + k];
                want += product;
                magnitude += std::fabs(product);
              }
              ASSERT_NEAR(got.y[t * kPanelRows + r], want, magnitude * cols * 6e-8) << what << " width " << width;
            }
          }
        };
        for (const auto& [name, table] : tables) {
          const std::string what = std::string(name) + " codec " + std::to_string(type.codec) + " columns " + std::to_string(cols);
          std::vector<float> tile(cols * width);
          table.tile_f32(x.data(), cols, cols, width, tile.data());
          Sums sums(width, nullptr);
          (table.*type.kernel)(FloatTask{panel.data(), tile.data(), width, cols, sums.out});
          check(what, sums, x);
          if (type.codec != kPackedBF16 || table.pairs_bf16 == nullptr) continue;
          std::vector<uint16_t> pairs(even * width);
          table.tile_bf16(x.data(), cols, cols, width, pairs.data());
          Sums in_pairs(width, nullptr);
          table.pairs_bf16(FloatTask{panel.data(), pairs.data(), width, even, in_pairs.out});
          check(what + " pairs", in_pairs, stored_as(DType::kBF16, x).values);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tessera
