#include "kernels/attention_kernels.h"

#include "kernels/layers.h"

namespace tessera::avx2 {

void apply(AttentionKernels&) {}

}  // namespace tessera::avx2
