// W8, this project's own int8: a row is one f32 scale and `elements` int8 codes in -127 .. 127, x = scale * code. One
// scale for the whole row lets a kernel sum a row's products in integers and scale once at the end.
#include "quant/scale_search.h"

namespace tessera {
namespace {

double row_error(const float* x, const float* importance, int64_t n, float scale) {
  const float inverse = 1.0f / scale;
  double error = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float diff = x[i] - scale * static_cast<float>(nearest_int(x[i] * inverse, -127, 127));
    error += static_cast<double>(weight_of(importance, i)) * diff * diff;
  }
  return error;
}

// A few outliers must not cost the whole row its resolution: clipping is tried down to 60 % of the largest element.
float search_row_scale(const float* x, const float* importance, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  if (!(largest > 1e-30f)) return 0;
  float best = largest / 127.0f;
  double best_error = row_error(x, importance, n, best);
  for (float reach = 0.95f; reach > 0.58f; reach -= 0.05f) {
    const float scale = reach * largest / 127.0f;
    const double error = row_error(x, importance, n, scale);
    if (error < best_error) best_error = error, best = scale;
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
  for (int64_t i = 0; i < elements; ++i) {
    row[sizeof(float) + static_cast<size_t>(i)] = static_cast<std::byte>(nearest_int(values[i] * inverse, -127, 127));
  }
}

}  // namespace tessera
