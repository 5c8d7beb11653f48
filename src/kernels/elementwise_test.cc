// Element-wise kernels: accuracy against double, and the same bits in every layer.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/kernels.h"

namespace tessera {
namespace {

std::vector<float> values(int64_t n, float scale, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

ElementwiseKernels generic_kernels() { return build_kernel_table("generic", 0)->elementwise; }

using Unary = void (*)(const float*, float*, int64_t);

void expect_close(Unary f, double (*exact)(double), float scale, double relative, double absolute) {
  const auto x = values(20000, scale);
  std::vector<float> y(x.size());
  f(x.data(), y.data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = exact(x[i]);
    ASSERT_NEAR(y[i], want, relative * std::fabs(want) + absolute) << "x = " << x[i];
  }
}

TEST(Elementwise, MatchesDouble) {
  const ElementwiseKernels k = generic_kernels();
  expect_close(
      k.exp, [](double x) { return std::exp(x); }, 15, 3e-7, 1e-38);
  expect_close(
      k.silu, [](double x) { return x / (1 + std::exp(-x)); }, 8, 5e-7, 1e-38);
  expect_close(
      k.gelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }, 3, 3e-7, 3e-7);
  expect_close(
      k.gelu_tanh, [](double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); },
      3, 2e-6, 1e-7);
  expect_close(
      k.relu2, [](double x) { return x > 0 ? x * x : 0.0; }, 3, 1e-7, 0);
}

TEST(Elementwise, ExpAtTheEnds) {
  const float inf = std::numeric_limits<float>::infinity();
  const float x[] = {-inf, -200.0f, -103.0f, 0.0f, 88.0f, 89.5f, inf, std::nanf("")};
  float y[8];
  generic_kernels().exp(x, y, 8);
  EXPECT_LE(y[0], 2e-45f);
  EXPECT_LE(y[1], 2e-45f);
  EXPECT_NEAR(y[2], std::exp(-103.0), 2e-45);
  EXPECT_EQ(y[3], 1.0f);
  EXPECT_NEAR(y[4] / std::exp(88.0), 1.0, 3e-7);
  EXPECT_EQ(y[5], inf);
  EXPECT_EQ(y[6], inf);
  EXPECT_TRUE(std::isnan(y[7]));
}

TEST(Elementwise, SoftcapMatchesDouble) {
  auto y = values(5000, 40);
  const auto x = y;
  generic_kernels().softcap(30.0f, y.data(), y.size());
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], 30.0 * std::tanh(x[i] / 30.0), 1e-5);
}

TEST(Elementwise, NormsMatchDouble) {
  const ElementwiseKernels k = generic_kernels();
  for (int64_t n : {1, 7, 16, 172, 2048}) {
    const auto x = values(n, 3), w = values(n, 1, 2), b = values(n, 1, 3);
    std::vector<float> y(n);
    double sum = 0, squares = 0, variance = 0;
    for (float v : x) sum += v, squares += double(v) * v;
    for (float v : x) variance += (v - sum / n) * (v - sum / n);
    k.rms_norm(x.data(), w.data(), 1e-5f, y.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(y[i], x[i] / std::sqrt(squares / n + 1e-5f) * w[i], 1e-6 * std::fabs(x[i] * w[i]) + 1e-7);
    }
    k.layer_norm(x.data(), w.data(), b.data(), 1e-5f, y.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(y[i], (x[i] - sum / n) / std::sqrt(variance / n + 1e-5f) * w[i] + b[i], 1e-4 * (n == 1) + 5e-6);
    }
  }
}

TEST(Elementwise, EveryLayerGivesTheSameBits) {
  const ElementwiseKernels a = generic_kernels();
  for (const KernelLayer& layer : kernel_layers()) {
    if ((layer.features & ~cpu_features()) != 0 || layer.elementwise == nullptr) continue;
    ElementwiseKernels b{};
    layer.elementwise(b);
    for (int64_t n : {1, 15, 16, 33, 172, 1000}) {
      const auto x = values(n, 3), w = values(n, 1, 2), bias = values(n, 1, 3);
      std::vector<float> ya(n), yb(n);
      const auto same = [&](const char* what) {
        EXPECT_EQ(std::memcmp(ya.data(), yb.data(), n * sizeof(float)), 0) << layer.name << " " << what << " n " << n;
      };
      for (auto f : {&ElementwiseKernels::silu, &ElementwiseKernels::gelu, &ElementwiseKernels::gelu_tanh,
                     &ElementwiseKernels::relu2, &ElementwiseKernels::exp}) {
        (a.*f)(x.data(), ya.data(), n);
        (b.*f)(x.data(), yb.data(), n);
        same("activation");
      }
      a.rms_norm(x.data(), w.data(), 1e-5f, ya.data(), n);
      b.rms_norm(x.data(), w.data(), 1e-5f, yb.data(), n);
      same("rms_norm");
      a.layer_norm(x.data(), w.data(), bias.data(), 1e-5f, ya.data(), n);
      b.layer_norm(x.data(), w.data(), bias.data(), 1e-5f, yb.data(), n);
      same("layer_norm");
      ya = yb = x;
      a.rope_halves(w.data(), bias.data(), ya.data(), n / 2);
      b.rope_halves(w.data(), bias.data(), yb.data(), n / 2);
      same("rope_halves");
      a.rope_interleaved(w.data(), bias.data(), ya.data(), n / 2);
      b.rope_interleaved(w.data(), bias.data(), yb.data(), n / 2);
      same("rope_interleaved");
    }
  }
}

}  // namespace
}  // namespace tessera
