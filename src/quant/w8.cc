// W8, this project's own int8: a row is one f32 scale and `elements` int8 codes in -127 .. 127, x = scale * code. One
// scale for the whole row lets a kernel sum a row's products in integers and scale once at the end.
#include "quant/scale_search.h"

namespace tessera {
namespace {

// A vector at a time: a model that is loaded in this type is packed in seconds.
constexpr int64_t kLanes = 4;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

Lanes load_lanes(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof(lanes));
  return lanes;
}

// As nearest_int(x, -127, 127), for |x| < 2^22.
Lanes nearest_level(Lanes x) {
  constexpr float kRound = 12582912.0f;
  const Lanes most = Lanes{} + 127.0f, rounded = (x + kRound) - kRound;
  const Lanes below = rounded < most ? rounded : most;
  return below > -most ? below : -most;
}

float largest_magnitude(const float* x, int64_t n) {
  Lanes largest{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes v = load_lanes(x + i), magnitude = v < 0 ? -v : v;
    largest = magnitude > largest ? magnitude : largest;
  }
  float result = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) result = std::max(result, largest[lane]);
  for (; i < n; ++i) result = std::max(result, std::fabs(x[i]));
  return result;
}

double row_error(const float* x, const float* importance, int64_t n, float scale) {
  constexpr int64_t kRun = 256 * kLanes;  // short enough for f32 sums
  const float inverse = 1.0f / scale;
  double error = 0;
  int64_t i = 0;
  while (i + kLanes <= n) {
    Lanes sums{};
    for (const int64_t end = std::min(n, i + kRun); i + kLanes <= end; i += kLanes) {
      const Lanes v = load_lanes(x + i), diff = v - scale * nearest_level(v * inverse);
      sums += (importance != nullptr ? load_lanes(importance + i) : Lanes{} + 1.0f) * diff * diff;
    }
    for (int64_t lane = 0; lane < kLanes; ++lane) error += sums[lane];
  }
  for (; i < n; ++i) {
    const float diff = x[i] - scale * static_cast<float>(nearest_int(x[i] * inverse, -127, 127));
    error += weight_of(importance, i) * diff * diff;
  }
  return error;
}

// A few outliers must not cost the whole row its resolution: clipping is tried down to 60 % of the largest element, until
// it does not pay any more.
float search_row_scale(const float* x, const float* importance, int64_t n) {
  const float largest = largest_magnitude(x, n);
  if (!(largest > 1e-30f)) return 0;
  float best = largest / 127.0f;
  double best_error = row_error(x, importance, n, best);
  for (float reach = 0.95f; reach > 0.58f; reach -= 0.05f) {
    const float scale = reach * largest / 127.0f;
    const double error = row_error(x, importance, n, scale);
    if (!(error < best_error)) break;
    best_error = error, best = scale;
  }
  return best;
}

}  // namespace

void unpack_w8(const std::byte* row, float* out, int64_t elements) {
  const auto scale = load<float>(row);
  for (int64_t i = 0; i < elements; ++i) out[i] = scale * static_cast<float>(load<int8_t>(row + sizeof(float) + i));
}

void pack_w8(const float* values, const float* importance, std::byte* row, int64_t elements) {
  const float scale = search_row_scale(values, importance, elements);
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  store(row, scale);
  std::byte* codes = row + sizeof(float);
  int64_t i = 0;
  for (; i + kLanes <= elements; i += kLanes) {
    using Codes = int8_t __attribute__((vector_size(kLanes)));
    const auto packed = __builtin_convertvector(nearest_level(load_lanes(values + i) * inverse), Codes);
    std::memcpy(codes + i, &packed, sizeof(packed));
  }
  for (; i < elements; ++i) codes[i] = static_cast<std::byte>(nearest_int(values[i] * inverse, -127, 127));
}

}  // namespace tessera
