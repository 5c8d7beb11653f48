// Dense feed-forward layer: down(act(gate(x)) * up(x)) with a gate (SwiGLU, GeGLU: Shazeer 2020), down(act(up(x)))
// without one.
#ifndef TESSERA_FFN_DENSE_H_
#define TESSERA_FFN_DENSE_H_

#include <memory>

#include "ffn/channel_mixer.h"
#include "ops/activation.h"
#include "ops/linear.h"

namespace tessera {

struct DenseFfnSettings {
  int64_t model_dim = 0;
  int64_t ff_dim = 0;
  bool gated = true;
  Activation activation = Activation::kSilu;
};

struct DenseFfnWeights {
  Linear gate, up;  // [ff_dim, model_dim] each; gate is empty when not gated
  Linear down;      // [model_dim, ff_dim]
};

std::unique_ptr<ChannelMixer> make_dense_ffn(DenseFfnSettings settings, DenseFfnWeights weights);

}  // namespace tessera

#endif  // TESSERA_FFN_DENSE_H_
