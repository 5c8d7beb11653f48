#include "kernels/matmul_kernels.h"

#include "kernels/layers.h"

namespace tessera::avx2 {

void apply(MatmulKernels&) {}

}  // namespace tessera::avx2
