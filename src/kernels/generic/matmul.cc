#include "kernels/matmul_kernels.h"

#include "kernels/layers.h"

namespace tessera::generic {

void apply(MatmulKernels&) {}

}  // namespace tessera::generic
