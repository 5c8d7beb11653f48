#include "kernels/attention_kernels.h"

#include "kernels/layers.h"

namespace tessera::generic {

void apply(AttentionKernels&) {}

}  // namespace tessera::generic
