// Choosing scales. A block format stores x as  scale * level  or  scale * level + minimum  with few levels. Taking the
// scale from the largest element alone wastes levels; here the scale (and minimum) is searched so that the weighted
// squared error  sum w (x - x')^2  is small:
//   1. candidates: the largest element is laid on, a little inside or a little outside of the extreme level;
//   2. each candidate gives an assignment of levels; for a fixed assignment the best scale is a least-squares fit;
//   3. the best candidate is improved by alternating assignment and fit until nothing changes (as in Lloyd's method).
// Private to quant/.
#ifndef TESSERA_QUANT_SCALE_SEARCH_H_
#define TESSERA_QUANT_SCALE_SEARCH_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/block_codecs.h"

namespace tessera {

// The longest run of elements that shares one searched scale.
inline constexpr int kMaxGroup = 32;

inline float weight_of(const float* importance, int64_t i) { return importance ? importance[i] : 1.0f; }

// The scale as it will be read back. Beyond the range of f16 the largest finite one is used, never infinity.
inline uint16_t to_f16_scale(float scale) { return f32_to_f16(std::clamp(scale, -65504.0f, 65504.0f)); }
inline float round_f16(float scale) { return f16_to_f32(to_f16_scale(scale)); }

// Nearest integer in [low, high] (ties to even); NaN gives low. |low|, |high| < 2^22.
inline int nearest_int(float x, int low, int high) {
  const auto least = static_cast<float>(low), most = static_cast<float>(high);
  x = x > least ? x : least;
  x = x < most ? x : most;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the unit of the sum is 1, so the addition rounds
  return static_cast<int>((x + kRound) - kRound);
}

// Evenly spaced levels low .. high; the level is its own code.
struct IntegerLevels {
  int low;
  int high;
  int nearest(float x) const { return nearest_int(x, low, high); }
  float value(int code) const { return static_cast<float>(code); }
  float lowest() const { return static_cast<float>(low); }
  float highest() const { return static_cast<float>(high); }
};

// Any 16 levels in rising order; the code is the position in the table.
struct TableLevels {
  std::array<float, 16> values;
  std::array<float, 15> midpoints;

  constexpr explicit TableLevels(const std::array<float, 16>& table) : values(table), midpoints{} {
    for (size_t i = 0; i < midpoints.size(); ++i) midpoints[i] = 0.5f * (table[i] + table[i + 1]);
  }
  int nearest(float x) const {
    return static_cast<int>(std::upper_bound(midpoints.begin(), midpoints.end(), x) - midpoints.begin());
  }
  float value(int code) const { return values[static_cast<size_t>(code)]; }
  float lowest() const { return values.front(); }
  float highest() const { return values.back(); }
};

inline float largest_magnitude(const float* x, int n) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  return largest;
}

// Weighted squared error of x stored with this scale, levels chosen anew.
template <class Levels>
float scale_error(const Levels& levels, const float* x, const float* importance, int n, float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float diff = x[i] - scale * levels.value(levels.nearest(x[i] * inverse));
    error += weight_of(importance, i) * diff * diff;
  }
  return error;
}

// One assignment with 1 / scale = inverse: the least-squares scale for it and the drop in error against storing zeros.
struct ScaleFit {
  float scale = 0;
  float gain = 0;
};
template <class Levels>
ScaleFit fit_scale(const Levels& levels, const float* x, const float* importance, int n, float inverse) {
  float sum_xl = 0, sum_ll = 0;
  for (int i = 0; i < n; ++i) {
    const float level = levels.value(levels.nearest(x[i] * inverse));
    const float wl = weight_of(importance, i) * level;
    sum_xl += wl * x[i];
    sum_ll += wl * level;
  }
  if (!(sum_ll > 0)) return {};
  return {sum_xl / sum_ll, sum_xl / sum_ll * sum_xl};
}

// The scale for x[0, n). With levels that are not symmetric the scale may be negative: the larger side of the levels
// then serves the larger side of the data.
template <class Levels>
float search_scale(const Levels& levels, const float* x, const float* importance, int n) {
  const float largest = largest_magnitude(x, n);
  if (!(largest > 1e-30f)) return 0;
  const float extent = std::max(-levels.lowest(), levels.highest());
  const bool symmetric = levels.lowest() == -levels.highest();
  ScaleFit best;
  for (int sign = symmetric ? 1 : -1; sign <= 1; sign += 2) {
    // Where the largest element lands, in units of the extreme level. Clipping by more than a quarter never won on
    // real weights; the inner bound matters where levels are few.
    for (float reach = 0.80f; reach <= 1.26f; reach += 0.025f) {
      const float inverse = static_cast<float>(sign) * reach * extent / largest;
      const ScaleFit fit = fit_scale(levels, x, importance, n, inverse);
      if (fit.gain > best.gain) best = fit;
    }
  }
  for (int step = 0; step < 8 && best.scale != 0; ++step) {
    const ScaleFit fit = fit_scale(levels, x, importance, n, 1.0f / best.scale);
    if (!(fit.gain > best.gain)) break;
    best = fit;
  }
  return best.scale;
}

// x ~ scale * level + minimum, levels 0 .. high.
struct AffineFit {
  float scale = 0;
  float minimum = 0;
  float error = 0;
};
enum class Minimum { kAny, kNotPositive };

AffineFit search_affine(int high, Minimum allowed, const float* x, const float* importance, int n);

// Weighted squared error of x stored with this scale and minimum, levels chosen anew.
float affine_error(int high, const float* x, const float* importance, int n, float scale, float minimum);

inline int affine_level(int high, float x, float scale, float minimum) {
  return scale != 0 ? nearest_int((x - minimum) / scale, 0, high) : 0;
}

}  // namespace tessera

#endif  // TESSERA_QUANT_SCALE_SEARCH_H_
