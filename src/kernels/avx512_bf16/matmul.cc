#include "kernels/matmul_kernels.h"

#include "kernels/layers.h"

namespace tessera::avx512_bf16 {

void apply(MatmulKernels&) {}

}  // namespace tessera::avx512_bf16
