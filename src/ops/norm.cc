#include "ops/norm.h"

#include "base/check.h"
#include "kernels/kernels.h"
#include "ops/for_rows.h"

namespace tessera {

void RowNorm::operator()(const float* x, float* y) const {
  const auto n = static_cast<int64_t>(weight.size());
  if (kind == Kind::kRms) return kernels().elementwise.rms_norm(x, weight.data(), eps, y, n);
  kernels().elementwise.layer_norm(x, weight.data(), bias.empty() ? nullptr : bias.data(), eps, y, n);
}

void rms_norm(OpContext& ctx, Rows<const float> x, std::span<const float> weight, float eps, Rows<float> y) {
  TESSERA_CHECK(static_cast<int64_t>(weight.size()) == x.cols && y.cols == x.cols && y.rows == x.rows,
                "x [{}, {}], weight [{}], y [{}, {}]", x.rows, x.cols, weight.size(), y.rows, y.cols);
  const auto kernel = kernels().elementwise.rms_norm;
  for_rows(ctx, x.rows, x.cols, [&](int64_t t) { kernel(x.row(t), weight.data(), eps, y.row(t), x.cols); });
}

void layer_norm(OpContext& ctx, Rows<const float> x, std::span<const float> weight, std::span<const float> bias,
                float eps, Rows<float> y) {
  TESSERA_CHECK(static_cast<int64_t>(weight.size()) == x.cols && y.cols == x.cols && y.rows == x.rows,
                "x [{}, {}], weight [{}], y [{}, {}]", x.rows, x.cols, weight.size(), y.rows, y.cols);
  TESSERA_CHECK(bias.empty() || bias.size() == weight.size(), "bias [{}], weight [{}]", bias.size(), weight.size());
  const auto kernel = kernels().elementwise.layer_norm;
  const float* shift = bias.empty() ? nullptr : bias.data();
  for_rows(ctx, x.rows, x.cols, [&](int64_t t) { kernel(x.row(t), weight.data(), shift, eps, y.row(t), x.cols); });
}

}  // namespace tessera
