// Linear against double loops over the unpacked weights, with bounds derived from what is rounded.
#include "ops/linear.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "kernels/packed_codec.h"
#include "ops/activation_set.h"
#include "quant/block_format.h"
#include "quant/float16.h"

namespace tessera {
namespace {

struct Weights {
  DType dtype;
  int64_t rows, cols;
  std::vector<std::byte> bytes;
  std::vector<float> values;  // unpacked
};

std::vector<float> normal_values(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

// Offsets of the f16 fields of a block. All other bytes of a quantized block are free.
std::vector<int> half_fields(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
    case DType::kIQ4_XS: return {0};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K: return {0, 2};
    case DType::kQ2_K: return {80, 82};
    case DType::kQ3_K: return {108};
    case DType::kQ6_K: return {208};
    default: return {};
  }
}

// Packed with 16-bit scales of blocks and one of the row.
bool has_row_scale(DType dtype) {
  const auto codec = packed_codec_of(dtype);
  return codec && *codec < kBlockCodecs && block_kind_info(packed_codec_info(*codec).kind).row_scale;
}

// Random bytes, so that every bit of a format matters; scales near 0.02, or of both signs and all sizes below.
void fill_row(DType dtype, std::byte* row, int64_t cols, std::mt19937& random) {
  const uint64_t bytes = *row_bytes(dtype, cols);
  std::normal_distribution<float> normal;
  if (dtype == DType::kF32) {
    for (int64_t c = 0; c < cols; ++c) reinterpret_cast<float*>(row)[c] = normal(random);
    return;
  }
  if (dtype == DType::kF16 || dtype == DType::kBF16) {
    for (int64_t c = 0; c < cols; ++c) {
      reinterpret_cast<uint16_t*>(row)[c] =
          dtype == DType::kF16 ? f32_to_f16(normal(random)) : f32_to_bf16(normal(random));
    }
    return;
  }
  for (uint64_t i = 0; i < bytes; ++i)
    row[i] = static_cast<std::byte>(random() & (dtype == DType::kF8E4M3 ? 0xb7 : 0xff));
  const uint64_t block = dtype_info(dtype).block_bytes;
  for (uint64_t at = 0; block != 0 && at < bytes; at += block) {
    for (int field : half_fields(dtype)) {
      const float scale = has_row_scale(dtype) ? 0.02f * std::exp2(-4 * std::fabs(normal(random))) * (random() % 2 == 0 ? 1 : -1)
                                               : 0.02f + 0.01f * normal(random);
      const uint16_t half = f32_to_f16(scale);
      std::memcpy(row + at + field, &half, 2);
    }
    if (dtype == DType::kMXFP4) row[at] = static_cast<std::byte>(120 + random() % 10);
  }
  if (dtype == DType::kW8) {
    const float scale = 0.02f + 0.01f * normal(random);
    std::memcpy(row, &scale, 4);
    for (uint64_t i = 4; i < bytes; ++i) row[i] = row[i] == std::byte{0x80} ? std::byte{0} : row[i];
  }
}

Weights make_weights(DType dtype, int64_t rows, int64_t cols) {
  Weights w{dtype, rows, cols, {}, std::vector<float>(rows * cols)};
  const uint64_t bytes = *row_bytes(dtype, cols);
  w.bytes.resize(rows * bytes);
  std::mt19937 random(7 + static_cast<uint32_t>(dtype));
  for (int64_t r = 0; r < rows; ++r) {
    std::byte* row = w.bytes.data() + r * bytes;
    fill_row(dtype, row, cols, random);
    block_format(dtype)->unpack(row, w.values.data() + r * cols, cols);
  }
  return w;
}

Linear pack(const Weights& w, ThreadPool& pool) {
  const uint64_t bytes = *row_bytes(w.dtype, w.cols);
  auto linear = Linear::pack(
      {w.dtype, w.rows, w.cols,
       [&](int64_t begin, int64_t, FunctionRef<void(const std::byte*)> use) { use(w.bytes.data() + begin * bytes); }},
      pool);
  EXPECT_TRUE(linear.ok()) << linear.status().message();
  return *std::move(linear);
}

std::array<Linear, 2> pack_pair(const Weights& a, const Weights& b, ThreadPool& pool) {
  const uint64_t bytes = *row_bytes(a.dtype, a.cols);
  const auto rows_of = [bytes](const Weights& w) {
    return [bytes, &w](int64_t begin, int64_t, FunctionRef<void(const std::byte*)> use) {
      use(w.bytes.data() + begin * bytes);
    };
  };
  const auto read_a = rows_of(a), read_b = rows_of(b);
  auto pair = Linear::pack_pair({a.dtype, a.rows, a.cols, read_a}, {b.dtype, b.rows, b.cols, read_b}, pool);
  EXPECT_TRUE(pair.ok()) << pair.status().message();
  return *std::move(pair);
}

std::vector<float> run(const Linear& w, const std::vector<float>& x, int64_t tokens, int threads) {
  ThreadPool pool(threads);
  Arena arena;
  OpContext ctx{pool, arena};
  LinearInput input(ctx, {x.data(), tokens, w.cols()});
  std::vector<float> y(tokens * w.rows(), -1.0f);
  linear(ctx, w, input, {y.data(), tokens, w.rows()});
  return y;
}

// Largest error that the arithmetic may make for one output: int8 activations are off by half a step of their group's
// scale; bf16 ones by 2^-9 of themselves; sums by 2^-24 of the magnitudes added, per term. With a scale of the row those of
// blocks are off by 2^-16 of the largest, and sums of a block by half of a 16th of what one weight times one step can be.
double error_bound(const Linear& linear, const Weights& w, int64_t r, const float* x) {
  const auto codec = packed_codec_of(w.dtype);
  const auto form = activation_form(*codec);
  double bound = 0, largest = 0;
  for (int64_t c = 0; c < w.cols && has_row_scale(w.dtype); ++c) {
    largest = std::max<double>(largest, std::fabs(w.values[r * w.cols + c]));
  }
  const int64_t blocks = group_blocks(form), group = blocks != 0 ? blocks * kBlockCols : w.cols;
  for (int64_t begin = 0; begin < w.cols; begin += group) {
    const int64_t end = std::min(begin + group, w.cols);
    double most = 0;
    for (int64_t c = begin; c < end; ++c) most = std::max<double>(most, std::fabs(x[c]));
    for (int64_t c = begin; c < end; ++c) {
      const double weight = std::fabs(w.values[r * w.cols + c]);
      const double input = form != ActivationForm::kBf16 && form != ActivationForm::kF32 ? most / 127 * 0.5001
                           : form == ActivationForm::kBf16                                 ? std::fabs(x[c]) / 256
                                                                                           : 0;
      bound += weight * (input + std::fabs(x[c]) * linear.cols() * 6e-8) + largest * std::fabs(x[c]) / 32768;
      if (c % kBlockCols == 0) bound += largest / 16 * most / 127;
    }
  }
  return bound + 1e-6;
}

struct Case {
  DType dtype;
  int64_t rows, cols;
};

class EveryType : public testing::TestWithParam<DType> {
 protected:
  // Odd sizes: rows that do not fill a panel, columns that fill neither group nor vector.
  std::vector<Case> cases() const {
    const DType d = GetParam();
    const int block = dtype_info(d).block_elements;
    if (block == 256) return {{d, 40, 256}, {d, 64, 768}};
    if (block == 32) return {{d, 1, 32}, {d, 33, 96}, {d, 64, 128}, {d, 64, 160}, {d, 100, 1120}, {d, 33, kUnpackCols + 96}};
    return {{d, 3, 1}, {d, 33, 172}, {d, 64, 333}, {d, 70, 1000}};
  }
};

TEST_P(EveryType, MatchesDoubleLoop) {
  ThreadPool pool(2);
  for (const Case& c : cases()) {
    const Weights w = make_weights(c.dtype, c.rows, c.cols);
    const Linear packed = pack(w, pool);
    for (int64_t tokens : {1, 2, 5, 13, 40}) {
      const auto x = normal_values(tokens * c.cols, 3);
      const auto y = run(packed, x, tokens, 2);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t r = 0; r < c.rows; ++r) {
          double want = 0;
          for (int64_t k = 0; k < c.cols; ++k) want += double(w.values[r * c.cols + k]) * x[t * c.cols + k];
          ASSERT_NEAR(y[t * c.rows + r], want, error_bound(packed, w, r, x.data() + t * c.cols))
              << to_string(c.dtype) << " [" << c.rows << ", " << c.cols << "] token " << t << " row " << r;
        }
      }
    }
  }
}

TEST_P(EveryType, CompanyDoesNotChangeBits) {
  ThreadPool pool(2);
  for (const Case& c : cases()) {
    const Linear packed = pack(make_weights(c.dtype, c.rows, c.cols), pool);
    const int64_t most = 45;
    const auto x = normal_values(most * c.cols, 3);
    std::vector<float> alone;
    for (int64_t t = 0; t < most; ++t) {
      const auto y = run(packed, {x.begin() + t * c.cols, x.begin() + (t + 1) * c.cols}, 1, 1);
      alone.insert(alone.end(), y.begin(), y.end());
    }
    for (int64_t tokens : {2, 3, 4, 6, 7, 8, 12, 14, 45}) {
      for (int threads : {1, 2, 3}) {
        const auto y = run(packed, {x.begin(), x.begin() + tokens * c.cols}, tokens, threads);
        ASSERT_EQ(std::memcmp(y.data(), alone.data(), y.size() * 4), 0)
            << to_string(c.dtype) << " [" << c.rows << ", " << c.cols << "] tokens " << tokens << " threads "
            << threads;
      }
    }
  }
}

std::vector<DType> weight_types() {
  std::vector<DType> types;
  for (const DTypeInfo& info : all_dtypes()) {
    if (packed_codec_of(info.dtype).has_value() && block_format(info.dtype) != nullptr) types.push_back(info.dtype);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(Linear, EveryType, testing::ValuesIn(weight_types()),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST(Linear, BiasResidualAndManyOutputs) {
  ThreadPool pool(2);
  Arena arena;
  OpContext ctx{pool, arena};
  const Weights wa = make_weights(DType::kF32, 70, 100), wb = make_weights(DType::kF32, 33, 100);
  Linear a = pack(wa, pool), b = pack(wb, pool);
  b.set_bias(normal_values(33, 9));
  for (int64_t tokens : {1, 20}) {
    const auto x = normal_values(tokens * 100, 1);
    LinearInput input(ctx, {x.data(), tokens, 100});
    std::vector<float> ya(tokens * 70), yb(tokens * 33), residual(tokens * 33, 2.0f);
    const Linear* ws[] = {&a, &b};
    const Rows<float> ys[] = {{ya.data(), tokens, 70}, {yb.data(), tokens, 33}};
    linear_many(ctx, ws, input, ys);
    EXPECT_EQ(ya, run(a, x, tokens, 1));
    EXPECT_EQ(yb, run(b, x, tokens, 1));
    linear_add(ctx, b, input, {residual.data(), tokens, 33});
    for (int64_t i = 0; i < tokens * 33; ++i) ASSERT_NEAR(residual[i], yb[i] + 2.0f, 1e-5);
    double want = b.bias()[32];
    for (int k = 0; k < 100; ++k) want += double(wb.values[32 * 100 + k]) * x[k];
    EXPECT_NEAR(yb[32], want, 1e-4);
  }
}

// Both matrices in one section, alternating in memory where they have one type, also with types whose tiles are cut
// differently; quantized for the next matrix as they are multiplied, or stored: the bits of the separate operations. 224
// rows are three and a half groups of 64 columns; 100 rows end inside a panel.
TEST(Linear, GatedProductIsTheSeparateOperations) {
  constexpr int64_t kCols = 256, kNextRows = 40;
  const std::array<DType, 3> types[] = {{DType::kQ4_0, DType::kQ4_0, DType::kQ8_0},
                                        {DType::kQ4_0, DType::kQ4_0, DType::kQ5_0},
                                        {DType::kQ4_0, DType::kQ4_0, DType::kF32},
                                        {DType::kQ4_K, DType::kQ6_K, DType::kQ4_0},
                                        {DType::kBF16, DType::kBF16, DType::kBF16},
                                        {DType::kQ8_0, DType::kF32, DType::kW8}};
  for (const auto& [gate_type, up_type, next_type] : types) {
    const int64_t rows = dtype_info(next_type).block_elements <= 1 ? 100 : 224;
    ThreadPool pool(2);
    const Weights gate_weights = make_weights(gate_type, rows, kCols), up_weights = make_weights(up_type, rows, kCols);
    Linear gate = pack(gate_weights, pool), up = pack(up_weights, pool);
    std::array<Linear, 2> pair;
    if (gate_type == up_type) pair = pack_pair(gate_weights, up_weights, pool);
    const Linear next = pack(make_weights(next_type, kNextRows, rows), pool);
    up.set_bias(normal_values(rows, 9));
    if (gate_type == up_type) pair[1].set_bias(normal_values(rows, 9));
    for (int64_t tokens : {1, 7, 40, 700}) {
      const auto x = normal_values(tokens * kCols, 1);
      std::vector<float> product = run(gate, x, tokens, 1), from_up = run(up, x, tokens, 1);
      gated_kernel(Activation::kSilu)(product.data(), from_up.data(), product.data(), tokens * rows);
      const std::vector<float> want = run(next, product, tokens, 1);
      for (int threads : {1, 2, 3}) {
        ThreadPool own(threads);
        Arena arena;
        OpContext ctx{own, arena};
        for (bool alternate : {false, true}) {
          if (alternate && pair[0].empty()) continue;
          LinearInput input(ctx, {x.data(), tokens, kCols});
          LinearInput hidden = linear_gated(ctx, Activation::kSilu, alternate ? pair[0] : gate,
                                            alternate ? pair[1] : up, input, next);
          std::vector<float> y(tokens * kNextRows, -1.0f);
          linear(ctx, next, hidden, {y.data(), tokens, kNextRows});
          ASSERT_EQ(std::memcmp(y.data(), want.data(), y.size() * 4), 0)
              << to_string(gate_type) << " " << to_string(up_type) << " " << to_string(next_type) << " tokens " << tokens
              << " threads " << threads << " alternate " << alternate;
        }
      }
    }
  }
}

// A norm on the way into a matrix gives the bits of a norm that is stored.
TEST(Linear, NormedInputIsTheNormOfTheInput) {
  constexpr int64_t kRows = 40, kCols = 256;
  const auto weight = normal_values(kCols, 2), bias = normal_values(kCols, 3);
  const RowNorm norms[] = {{RowNorm::Kind::kRms, weight, {}, 1e-5f},
                           {RowNorm::Kind::kLayer, weight, bias, 1e-5f},
                           {RowNorm::Kind::kLayer, weight, {}, 1e-5f}};
  for (DType type : {DType::kF32, DType::kBF16, DType::kQ4_0, DType::kQ4_K, DType::kW8}) {
    ThreadPool pool(2);
    const Linear w = pack(make_weights(type, kRows, kCols), pool);
    for (const RowNorm& norm : norms) {
      for (int64_t tokens : {1, 7, 50}) {
        const auto x = normal_values(tokens * kCols, 1);
        std::vector<float> stored(x.size()), y(tokens * kRows);
        Arena arena;
        OpContext ctx{pool, arena};
        const Rows<const float> in(x.data(), tokens, kCols);
        if (norm.kind == RowNorm::Kind::kRms) {
          rms_norm(ctx, in, norm.weight, norm.eps, {stored.data(), tokens, kCols});
        } else {
          layer_norm(ctx, in, norm.weight, norm.bias, norm.eps, {stored.data(), tokens, kCols});
        }
        LinearInput input(ctx, in, norm);
        linear(ctx, w, input, {y.data(), tokens, kRows});
        ASSERT_EQ(y, run(w, stored, tokens, 1)) << to_string(type) << " tokens " << tokens;
      }
    }
  }
}

TEST(Linear, RefusesWhatItCannotPack) {
  ThreadPool pool(1);
  const auto nothing = [](int64_t, int64_t, FunctionRef<void(const std::byte*)>) {};
  EXPECT_EQ(Linear::pack({DType::kQ4_0, 4, 33, nothing}, pool).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(Linear::pack({DType::kI32, 4, 32, nothing}, pool).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(Linear::pack({DType::kF32, 0, 32, nothing}, pool).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(Linear::pack({DType::kF32, int64_t{1} << 40, int64_t{1} << 40, nothing}, pool).ok());
}

}  // namespace
}  // namespace tessera
