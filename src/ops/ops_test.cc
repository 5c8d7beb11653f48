// Norms, activations and rope as operations: shapes, strides, threads; rope against its formulas in double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

#include "ops/activation.h"
#include "ops/norm.h"
#include "ops/rope.h"

namespace tessera {
namespace {

std::vector<float> values(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

TEST(Norm, StridedRowsAndThreadsGiveTheSameBits) {
  const int64_t rows = 60, cols = 700, stride = 720;
  const auto x = values(rows * stride, 1), w = values(cols, 2);
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    Arena arena;
    OpContext ctx{pool, arena};
    std::vector<float> y(rows * cols);
    rms_norm(ctx, {x.data(), rows, cols, stride}, w, 1e-5f, {y.data(), rows, cols});
    results.push_back(y);
  }
  for (const auto& y : results) EXPECT_EQ(std::memcmp(y.data(), results[0].data(), y.size() * 4), 0);
  double squares = 0;
  for (int64_t c = 0; c < cols; ++c) squares += double(x[stride + c]) * x[stride + c];
  EXPECT_NEAR(results[0][cols], x[stride] / std::sqrt(squares / cols + 1e-5) * w[0], 1e-5);
}

TEST(Activation, GatedEqualsProduct) {
  ThreadPool pool(2);
  Arena arena;
  OpContext ctx{pool, arena};
  const auto gate = values(3000, 1), up = values(3000, 2);
  for (Activation act :
       {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kRelu2}) {
    std::vector<float> single(3000), gated(gate);
    activate(ctx, act, Rows<const float>(gate.data(), 30, 100), {single.data(), 30, 100});
    Rows<float> y(gated.data(), 30, 100);
    gated_activate(ctx, act, y, Rows<const float>(up.data(), 30, 100), y);
    for (int i = 0; i < 3000; ++i) ASSERT_EQ(gated[i], single[i] * up[i]);
  }
}

// The rotation that the settings ask for, from the definition.
void expect_rope(const RopeSettings& settings, double (*frequency)(const RopeSettings&, int64_t), double magnitude) {
  ThreadPool pool(2);
  Arena arena;
  OpContext ctx{pool, arena};
  const int64_t heads = 3, head_dim = settings.dims + 4;
  const std::vector<int32_t> positions = {0, 1, 77, 4000};
  auto x = values(4 * heads * head_dim, 5);
  const auto before = x;
  const RopeTable table(settings);
  apply_rope(ctx, table.rows(ctx, positions), settings.pairs, heads, head_dim, {x.data(), 4, heads * head_dim});
  const int64_t half = settings.dims / 2;
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t at = (t * heads + h) * head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const int64_t a = settings.pairs == RopePairs::kHalves ? i : 2 * i;
        const int64_t b = settings.pairs == RopePairs::kHalves ? i + half : 2 * i + 1;
        const double angle = positions[t] * frequency(settings, i);
        ASSERT_NEAR(x[at + a], magnitude * (before[at + a] * std::cos(angle) - before[at + b] * std::sin(angle)), 2e-6);
        ASSERT_NEAR(x[at + b], magnitude * (before[at + a] * std::sin(angle) + before[at + b] * std::cos(angle)), 2e-6);
      }
      for (int64_t i = settings.dims; i < head_dim; ++i) ASSERT_EQ(x[at + i], before[at + i]);
    }
  }
}

double plain(const RopeSettings& s, int64_t i) { return std::pow(s.freq_base, -2.0 * i / s.dims); }

TEST(Rope, PlainAndLinearAndFactors) {
  RopeSettings s;
  s.dims = 32;
  expect_rope(s, plain, 1);
  s.pairs = RopePairs::kHalves;
  expect_rope(s, plain, 1);
  s.scaling = RopeScaling::kLinear;
  s.factor = 4;
  expect_rope(
      s, [](const RopeSettings& r, int64_t i) { return plain(r, i) / 4; }, 1);
  s.scaling = RopeScaling::kFactors;
  for (int i = 0; i < 16; ++i) s.freq_factors.push_back(1.0f + i);
  expect_rope(
      s, [](const RopeSettings& r, int64_t i) { return plain(r, i) / (1.0 + i); }, 1);
}

TEST(Rope, NtkInterpolatesTheSlowestPairOnly) {
  RopeSettings s;
  s.dims = 64;
  s.scaling = RopeScaling::kNtk;
  s.factor = 8;
  expect_rope(
      s, [](const RopeSettings& r, int64_t i) { return plain(r, i) * std::pow(8.0, -i / 31.0); }, 1);
}

TEST(Rope, YarnKeepsFastPairsAndInterpolatesSlowOnes) {
  RopeSettings s;
  s.dims = 128;
  s.scaling = RopeScaling::kYarn;
  s.factor = 4;
  s.original_context = 4096;
  // Published example: base 10000, 128 dimensions, 4096 tokens: the ramp runs from dimension 20 to 46.
  expect_rope(
      s,
      [](const RopeSettings& r, int64_t i) {
        const double ramp = 1 - std::clamp((i - 20.0) / 26.0, 0.0, 1.0);
        return plain(r, i) * (ramp + (1 - ramp) / 4);
      },
      1 + 0.1 * std::log(4.0));
}

}  // namespace
}  // namespace tessera
