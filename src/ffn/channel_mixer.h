// ChannelMixer: the interface of everything that works on each token alone (feed-forward layers; mechanism M11 makes it
// conditional). Immutable once built, no state.
#ifndef TESSERA_FFN_CHANNEL_MIXER_H_
#define TESSERA_FFN_CHANNEL_MIXER_H_

#include <cstdint>
#include <memory>

#include "ops/context.h"
#include "ops/cost.h"
#include "ops/linear.h"

namespace tessera {

class ChannelMixer {
 public:
  virtual ~ChannelMixer() = default;
  virtual StepCost cost(const StepShape& shape) const = 0;
  virtual uint64_t weight_bytes() const = 0;
  // out = ffn(x), or out += ffn(x) with accumulate. x, out: [rows, model_dim]. x is read before out is written: out may
  // be the rows that x norms. x is used up.
  virtual void forward(OpContext& ctx, LinearInput& x, bool accumulate, Rows<float> out) const = 0;
};

}  // namespace tessera

#endif  // TESSERA_FFN_CHANNEL_MIXER_H_
