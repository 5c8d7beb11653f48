#include "kernels/matmul_kernels.h"

#include "kernels/layers.h"

namespace tessera::avx512_vnni {

void apply(MatmulKernels&) {}

}  // namespace tessera::avx512_vnni
