// Normalisation over the last dimension. y may be x. f32 throughout; the sum of squares is taken in a fixed order.
#ifndef TESSERA_OPS_NORM_H_
#define TESSERA_OPS_NORM_H_

#include <span>

#include "ops/context.h"

namespace tessera {

// A norm of one row at a time, for those who read normed rows once and need not store them. Weights stay the owner's.
struct RowNorm {
  enum class Kind { kNone, kRms, kLayer };
  Kind kind = Kind::kNone;
  std::span<const float> weight, bias;  // bias may be empty
  float eps = 0;

  void operator()(const float* x, float* y) const;  // not kNone
};

// y = x / sqrt(mean(x^2) + eps) * weight   (Zhang & Sennrich 2019). x, y: [tokens, dim]; weight: [dim].
void rms_norm(OpContext& ctx, Rows<const float> x, std::span<const float> weight, float eps, Rows<float> y);
// y = (x - mean) / sqrt(var + eps) * weight + bias   (Ba et al. 2016); bias may be empty.
void layer_norm(OpContext& ctx, Rows<const float> x, std::span<const float> weight, std::span<const float> bias, float eps,
                Rows<float> y);

}  // namespace tessera

#endif  // TESSERA_OPS_NORM_H_
