#include "ops/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "kernels/kernels.h"
#include "ops/for_rows.h"

namespace tessera {
namespace {

// The dimension whose wavelength fits `rotations` times into the trained context (YaRN, Peng et al. 2023, eq. 17).
double yarn_dimension(const RopeSettings& s, double rotations) {
  return static_cast<double>(s.dims) *
         std::log(static_cast<double>(s.original_context) / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(s.freq_base));
}

// Share of extrapolation (unscaled frequency) of pair i: 1 for the fast pairs, 0 for the slow ones.
double yarn_ramp(const RopeSettings& s, int64_t i) {
  const double low = std::max(0.0, std::floor(yarn_dimension(s, s.yarn_beta_fast)));
  const double high = std::min(static_cast<double>(s.dims - 1), std::ceil(yarn_dimension(s, s.yarn_beta_slow)));
  const double position = (static_cast<double>(i) - low) / std::max(0.001, high - low);
  return (1 - std::clamp(position, 0.0, 1.0)) * s.yarn_ext_factor;
}

double inverse_frequency(const RopeSettings& s, int64_t i) {
  const auto dims = static_cast<double>(s.dims);
  double base = s.freq_base;
  // NTK-aware: stretch the base so that the slowest pair is interpolated by `factor` and the fastest not at all.
  if (s.scaling == RopeScaling::kNtk && s.dims > 2) base *= std::pow(s.factor, dims / (dims - 2));
  double frequency = std::pow(base, -2.0 * static_cast<double>(i) / dims);
  if (!s.freq_factors.empty()) frequency /= s.freq_factors[i];
  switch (s.scaling) {
    case RopeScaling::kLinear: return frequency / s.factor;
    case RopeScaling::kYarn: {
      const double ramp = yarn_ramp(s, i);
      return frequency / s.factor * (1 - ramp) + frequency * ramp;
    }
    default: return frequency;
  }
}

}  // namespace

RopeTable::RopeTable(const RopeSettings& settings) : settings_(settings) {
  TESSERA_CHECK(settings.dims % 2 == 0, "rope over {} dimensions", settings.dims);
  TESSERA_CHECK(
      settings.freq_factors.empty() || static_cast<int64_t>(settings.freq_factors.size()) == settings.dims / 2,
      "{} frequency factors for {} dimensions", settings.freq_factors.size(), settings.dims);
  for (int64_t i = 0; i < settings.dims / 2; ++i) inv_freq_.push_back(inverse_frequency(settings, i));
  double magnitude = settings.attn_factor;
  if (settings.scaling == RopeScaling::kYarn && settings.yarn_ext_factor != 0 && settings.factor > 1) {
    magnitude *= 1 + 0.1 * std::log(settings.factor);
  }
  magnitude_ = static_cast<float>(magnitude);
}

RopeRows RopeTable::rows(OpContext& ctx, std::span<const int32_t> positions) const {
  const auto tokens = static_cast<int64_t>(positions.size());
  const auto pairs = static_cast<int64_t>(inv_freq_.size());
  Rows<float> cos = ctx.scratch(tokens, pairs), sin = ctx.scratch(tokens, pairs);
  // One sine and cosine in double costs some 20 cheap elements.
  for_rows(ctx, tokens, pairs * 20, [&](int64_t t) {
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = positions[t] * inv_freq_[i];
      cos.row(t)[i] = static_cast<float>(std::cos(angle)) * magnitude_;
      sin.row(t)[i] = static_cast<float>(std::sin(angle)) * magnitude_;
    }
  });
  return {cos, sin};
}

void apply_rope(OpContext& ctx, const RopeRows& rope, RopePairs pairs, int64_t heads, int64_t head_dim, Rows<float> x) {
  const int64_t half = rope.cos.cols;
  if (half == 0) return;
  TESSERA_CHECK(x.rows == rope.cos.rows && x.cols == heads * head_dim && 2 * half <= head_dim,
                "x [{}, {}], {} heads of {}, angles [{}, {}]", x.rows, x.cols, heads, head_dim, rope.cos.rows, half);
  const ElementwiseKernels& k = kernels().elementwise;
  const auto kernel = pairs == RopePairs::kInterleaved ? k.rope_interleaved : k.rope_halves;
  for_rows(ctx, x.rows, x.cols, [&](int64_t t) {
    for (int64_t h = 0; h < heads; ++h) kernel(rope.cos.row(t), rope.sin.row(t), x.row(t) + h * head_dim, half);
  });
}

}  // namespace tessera
