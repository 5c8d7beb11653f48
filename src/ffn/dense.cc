#include "ffn/dense.h"

#include <utility>

namespace tessera {
namespace {

class DenseFfn : public ChannelMixer {
 public:
  DenseFfn(DenseFfnSettings settings, DenseFfnWeights weights) : settings_(settings), w_(std::move(weights)) {}

  StepCost cost(const StepShape& shape) const override {
    const double matrices = settings_.gated ? 3 : 2;
    StepCost cost;
    cost.matmul_flops = 2.0 * matrices * settings_.model_dim * settings_.ff_dim * shape.tokens;
    cost.weight_bytes = static_cast<double>(weight_bytes());
    return cost;
  }

  uint64_t weight_bytes() const override {
    return (w_.gate.empty() ? 0 : w_.gate.packed_bytes()) + w_.up.packed_bytes() + w_.down.packed_bytes();
  }

  void forward(OpContext& ctx, LinearInput& x, bool accumulate, Rows<float> out) const override {
    LinearInput hidden = settings_.gated ? linear_gated(ctx, settings_.activation, w_.gate, w_.up, x, w_.down)
                                         : activated(ctx, x);  // [tokens, ff_dim]
    accumulate ? linear_add(ctx, w_.down, hidden, out) : linear(ctx, w_.down, hidden, out);
  }

 private:
  LinearInput activated(OpContext& ctx, LinearInput& x) const {
    const Rows<float> hidden = ctx.scratch(x.rows(), settings_.ff_dim);
    linear(ctx, w_.up, x, hidden);
    activate(ctx, settings_.activation, hidden, hidden);
    return {ctx, hidden};
  }

  DenseFfnSettings settings_;
  DenseFfnWeights w_;
};

}  // namespace

std::unique_ptr<ChannelMixer> make_dense_ffn(DenseFfnSettings settings, DenseFfnWeights weights) {
  return std::make_unique<DenseFfn>(settings, std::move(weights));
}

}  // namespace tessera
