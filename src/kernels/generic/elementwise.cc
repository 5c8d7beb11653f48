#include "kernels/elementwise_kernels.h"
#include "kernels/layers.h"

namespace tessera::generic {
#include "kernels/elementwise_body.h"
}  // namespace tessera::generic
