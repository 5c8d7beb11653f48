// Element-wise functions of the channel mixers and of the residual stream.
#ifndef TESSERA_OPS_ACTIVATION_H_
#define TESSERA_OPS_ACTIVATION_H_

#include <cstdint>

#include "ops/context.h"

namespace tessera {

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu, kRelu2 };

// y = act(gate) * up over n numbers; y may be gate or up.
using GatedKernel = void (*)(const float* gate, const float* up, float* y, int64_t n);
GatedKernel gated_kernel(Activation act);

// y = act(x); y may be x.
void activate(OpContext& ctx, Activation act, Rows<const float> x, Rows<float> y);
// y = act(gate) * up (SwiGLU, GeGLU: Shazeer 2020); y may be gate or up.
void gated_activate(OpContext& ctx, Activation act, Rows<const float> gate, Rows<const float> up, Rows<float> y);

void add(OpContext& ctx, Rows<const float> x, Rows<float> y);               // y += x
void scale(OpContext& ctx, float factor, Rows<float> y);                    // y *= factor
void softcap(OpContext& ctx, float cap, Rows<float> y);                     // y = cap * tanh(y / cap)

}  // namespace tessera

#endif  // TESSERA_OPS_ACTIVATION_H_
