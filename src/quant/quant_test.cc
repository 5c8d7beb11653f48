#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "quant/block_format.h"
#include "quant/float16.h"

namespace tessera {
namespace {

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::vector<char> chars((std::istreambuf_iterator<char>(stream)), {});
  const auto* begin = reinterpret_cast<const std::byte*>(chars.data());
  return {begin, begin + chars.size()};
}

TEST(Float16, RoundTripOfEveryHalf) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float wide = f16_to_f32(static_cast<uint16_t>(bits));
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(wide))));
    } else {
      ASSERT_EQ(f32_to_f16(wide), bits);
    }
  }
}

TEST(Float16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3c00);      // half way: even is below
  EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);  // half way: even is above
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);  // last that rounds to a finite number
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(0x1p-24f), 0x0001);  // smallest subnormal
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);  // half of it: even is zero
  EXPECT_EQ(f32_to_f16(0x1.8p-25f), 0x0001);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
  EXPECT_EQ(f32_to_f16(0x1.ff8p-15f), 0x03ff);  // largest subnormal
  EXPECT_EQ(f32_to_f16(0x1.ffcp-15f), 0x0400);  // half way to the first normal: even is that one
}

TEST(Float16, Bf16) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float wide = bf16_to_f32(static_cast<uint16_t>(bits));
    if (!std::isnan(wide)) ASSERT_EQ(f32_to_bf16(wide), bits);
  }
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isinf(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::max()))));
}

TEST(Float16, F8E4M3) {
  EXPECT_EQ(f8e4m3_to_f32(0x00), 0.0f);
  EXPECT_EQ(f8e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_EQ(f8e4m3_to_f32(0x38), 1.0f);
  EXPECT_EQ(f8e4m3_to_f32(0x7e), 448.0f);
  EXPECT_EQ(f8e4m3_to_f32(0xfe), -448.0f);
  EXPECT_TRUE(std::isnan(f8e4m3_to_f32(0x7f)));
  EXPECT_TRUE(std::isnan(f8e4m3_to_f32(0xff)));
}

// Bit equality with the reference reader on random blocks (tests/data/make_quant_blocks.py).
TEST(BlockFormat, UnpackEqualsReference) {
  const auto file = read_file(std::string(TESSERA_SOURCE_DIR) + "/tests/data/quant_blocks.bin");
  ASSERT_FALSE(file.empty());
  size_t at = 0;
  int types = 0;
  while (at < file.size()) {
    const std::string name(reinterpret_cast<const char*>(&file[at]));
    uint32_t sizes[2];
    std::memcpy(sizes, &file[at + 8], sizeof(sizes));
    const std::byte* bytes = &file[at + 16];
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    ASSERT_EQ(row_bytes(*dtype, sizes[1]), sizes[0]) << name;
    std::vector<float> expected(sizes[1]), found(sizes[1]);
    std::memcpy(expected.data(), bytes + sizes[0], sizes[1] * sizeof(float));
    block_format(*dtype)->unpack(bytes, found.data(), sizes[1]);
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(expected[i]))
          << name << " element " << i << ": " << found[i] << " instead of " << expected[i];
    }
    at += 16 + sizes[0] + sizes[1] * sizeof(float);
    ++types;
  }
  EXPECT_EQ(types, 15);
}

// Blocks small enough to work out by hand.
TEST(BlockFormat, HandComputedQ4_0) {
  std::vector<std::byte> block(18, std::byte{0x88});
  block[0] = std::byte{0x00};
  block[1] = std::byte{0x38};  // d = 0.5
  block[2] = std::byte{0xf0};  // element 0: code 0, element 16: code 15
  float out[32];
  block_format(DType::kQ4_0)->unpack(block.data(), out, 32);
  EXPECT_EQ(out[0], -4.0f);
  EXPECT_EQ(out[16], 3.5f);
  EXPECT_EQ(out[1], 0.0f);
}

TEST(BlockFormat, HandComputedW8) {
  std::vector<std::byte> row(4 + 3);
  const float scale = 0.25f;
  std::memcpy(row.data(), &scale, 4);
  row[4] = static_cast<std::byte>(-127);
  row[5] = std::byte{0};
  row[6] = std::byte{8};
  float out[3];
  block_format(DType::kW8)->unpack(row.data(), out, 3);
  EXPECT_EQ(out[0], -31.75f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 2.0f);
}

double relative_rmse(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * static_cast<double>(x[i] - y[i]);
    power += x[i] * static_cast<double>(x[i]);
  }
  return std::sqrt(error / power);
}

std::vector<float> round_trip(DType dtype, const std::vector<float>& x, const float* importance = nullptr) {
  const auto n = static_cast<int64_t>(x.size());
  std::vector<std::byte> bytes(*row_bytes(dtype, x.size()));
  std::vector<float> y(x.size());
  block_format(dtype)->pack(x.data(), importance, bytes.data(), n);
  block_format(dtype)->unpack(bytes.data(), y.data(), n);
  return y;
}

std::vector<float> gaussian(size_t n, float sigma = 0.02f) {
  std::mt19937 rng(7);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> x(n);
  for (float& v : x) v = normal(rng);
  return x;
}

// Error of each type on Gaussian data; the bound is a few per cent above what the packer reaches, so that a packer that
// gets worse is noticed.
TEST(BlockFormat, RoundTripError) {
  const struct {
    DType dtype;
    double bound;
  } cases[] = {
      {DType::kF32, 0},       {DType::kF16, 2.2e-4},    {DType::kBF16, 1.75e-3},  {DType::kQ8_0, 0.0060},
      {DType::kQ4_0, 0.0850}, {DType::kQ4_1, 0.0800},   {DType::kQ5_0, 0.0430},   {DType::kQ5_1, 0.0400},
      {DType::kQ2_K, 0.2900}, {DType::kQ3_K, 0.1600},   {DType::kQ4_K, 0.0760},   {DType::kQ5_K, 0.0380},
      {DType::kQ6_K, 0.0195}, {DType::kIQ4_NL, 0.0790}, {DType::kIQ4_XS, 0.0790}, {DType::kMXFP4, 0.1250},
      {DType::kW8, 0.0100},
  };
  const auto x = gaussian(256 * 32);
  for (const auto& c : cases) {
    const double error = relative_rmse(x, round_trip(c.dtype, x));
    RecordProperty(std::string(to_string(c.dtype)), std::to_string(error));
    EXPECT_LE(error, c.bound) << to_string(c.dtype);
  }
}

TEST(BlockFormat, EdgeValuesStayFiniteAndBounded) {
  std::vector<std::vector<float>> rows(7, std::vector<float>(512, 0.0f));
  rows[1].assign(512, 0.37f);                                               // constant
  rows[2].assign(512, -5e-42f);                                             // subnormal
  for (size_t i = 0; i < 512; ++i) rows[3][i] = i % 2 ? 3e4f : -3e4f;       // near the f16 limit
  rows[4][100] = -1.0f;                                                     // one element
  for (size_t i = 0; i < 512; ++i) rows[5][i] = static_cast<float>(i) + 1;  // all of one sign
  for (size_t i = 0; i < 512; ++i) rows[6][i] = std::numeric_limits<float>::quiet_NaN();
  for (const DTypeInfo& info : all_dtypes()) {
    const BlockFormat* format = block_format(info.dtype);
    if (!format || !format->pack || !info.quantized) continue;
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto y = round_trip(info.dtype, rows[r]);
      float largest = 0;
      for (float v : rows[r]) largest = std::max(largest, std::fabs(v));
      for (size_t i = 0; i < y.size() && r < 6; ++i) {
        ASSERT_LE(std::fabs(y[i] - rows[r][i]), 0.51f * largest + 1e-30f) << info.name << " row " << r << " " << i;
      }
    }
    EXPECT_EQ(round_trip(info.dtype, rows[0]), rows[0]) << info.name;
  }
}

// Elements that matter more get smaller errors.
TEST(BlockFormat, ImportanceMovesTheError) {
  const auto x = gaussian(256 * 8);
  std::vector<float> importance(x.size(), 0.01f);
  for (size_t i = 0; i < x.size(); i += 4) importance[i] = 1.0f;
  for (DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kIQ4_XS}) {
    const auto plain = round_trip(dtype, x), weighted = round_trip(dtype, x, importance.data());
    double before = 0, after = 0;
    for (size_t i = 0; i < x.size(); i += 4) {
      before += std::pow(x[i] - plain[i], 2);
      after += std::pow(x[i] - weighted[i], 2);
    }
    EXPECT_LT(after, before) << to_string(dtype);
  }
}

TEST(BlockFormat, PackOfUnpackedIsStable) {
  const auto x = gaussian(256 * 4);
  for (DType dtype : {DType::kQ8_0, DType::kQ4_0, DType::kQ5_0, DType::kQ6_K, DType::kIQ4_NL, DType::kMXFP4}) {
    const auto once = round_trip(dtype, x);
    EXPECT_LT(relative_rmse(once, round_trip(dtype, once)), 2e-3) << to_string(dtype);
  }
}

TEST(BlockFormat, UnpackRows) {
  const auto x = gaussian(96);
  std::vector<std::byte> bytes(3 * 34);
  for (int r = 0; r < 3; ++r) block_format(DType::kQ8_0)->pack(&x[32 * r], nullptr, &bytes[34 * r], 32);
  std::vector<float> rows(96), one(96);
  unpack_rows(DType::kQ8_0, bytes.data(), 3, 32, rows.data());
  block_format(DType::kQ8_0)->unpack(bytes.data(), one.data(), 96);
  EXPECT_EQ(rows, one);
  EXPECT_EQ(block_format(DType::kI32), nullptr);
}

}  // namespace
}  // namespace tessera
