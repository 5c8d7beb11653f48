#include "kernels/elementwise_kernels.h"
#include "kernels/layers.h"

namespace tessera::avx512 {
#include "kernels/elementwise_body.h"
}  // namespace tessera::avx512
