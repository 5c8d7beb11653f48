#include "kernels/attention_kernels.h"

#include "kernels/layers.h"

namespace tessera::avx512 {

void apply(AttentionKernels&) {}

}  // namespace tessera::avx512
