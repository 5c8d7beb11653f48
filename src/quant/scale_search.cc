#include "quant/scale_search.h"

namespace tessera {
namespace {

// Levels from (scale, minimum); then the least-squares scale and minimum for those levels, and their error.
AffineFit refit(int high, Minimum allowed, const float* x, const float* importance, int n, float inverse,
                float minimum) {
  std::array<float, kMaxGroup> level;
  float sw = 0, sl = 0, sll = 0, sx = 0, sxl = 0;
  for (int i = 0; i < n; ++i) {
    const float w = weight_of(importance, i);
    const auto l = static_cast<float>(nearest_int((x[i] - minimum) * inverse, 0, high));
    level[static_cast<size_t>(i)] = l;
    sw += w;
    sl += w * l;
    sll += w * l * l;
    sx += w * x[i];
    sxl += w * x[i] * l;
  }
  AffineFit fit;
  const float determinant = sw * sll - sl * sl;
  if (determinant > 0) {
    fit.scale = (sw * sxl - sx * sl) / determinant;
    fit.minimum = (sll * sx - sl * sxl) / determinant;
  } else {
    fit.minimum = sw > 0 ? sx / sw : 0;  // one level only
  }
  if (allowed == Minimum::kNotPositive && fit.minimum > 0) {
    fit.minimum = 0;
    fit.scale = sll > 0 ? sxl / sll : 0;
  }
  for (int i = 0; i < n; ++i) {
    const float diff = x[i] - (fit.scale * level[static_cast<size_t>(i)] + fit.minimum);
    fit.error += weight_of(importance, i) * diff * diff;
  }
  return fit;
}

}  // namespace

float affine_error(int high, const float* x, const float* importance, int n, float scale, float minimum) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const auto level = static_cast<float>(nearest_int((x[i] - minimum) * inverse, 0, high));
    const float diff = x[i] - (scale * level + minimum);
    error += weight_of(importance, i) * diff * diff;
  }
  return error;
}

AffineFit search_affine(int high, Minimum allowed, const float* x, const float* importance, int n) {
  float low = x[0], top = x[0];
  for (int i = 1; i < n; ++i) {
    low = std::min(low, x[i]);
    top = std::max(top, x[i]);
  }
  if (allowed == Minimum::kNotPositive) low = std::min(low, 0.0f);
  AffineFit best;
  best.minimum = low;
  if (!(top - low > 1e-30f)) {
    best.error = affine_error(high, x, importance, n, 0, low);
    return best;
  }
  best.scale = (top - low) / static_cast<float>(high);
  best.error = affine_error(high, x, importance, n, best.scale, low);
  // Both ends of the range move inwards (clipping) or the upper one a little outwards, in steps of a level.
  const float step = best.scale;
  for (float cut_low = 0; cut_low <= 1.01f; cut_low += 0.25f) {
    for (float cut_top = -0.5f; cut_top <= 1.01f; cut_top += 0.25f) {
      const float range = (top - low) - (cut_low + cut_top) * step;
      if (range <= 0) continue;
      const AffineFit fit =
          refit(high, allowed, x, importance, n, static_cast<float>(high) / range, low + cut_low * step);
      if (fit.error < best.error && fit.scale > 0) best = fit;
    }
  }
  for (int i = 0; i < 8; ++i) {
    const AffineFit fit = refit(high, allowed, x, importance, n, 1.0f / best.scale, best.minimum);
    if (!(fit.error < best.error && fit.scale > 0)) break;
    best = fit;
  }
  return best;
}

}  // namespace tessera
