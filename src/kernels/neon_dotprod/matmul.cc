// Matmul of block-quantized and row-scaled weights on sdot (Armv8.2 dot product): 16 multiply-adds per instruction. The
// loops are those of neon/block_tile.h, compiled with the instruction.
#include "kernels/layers.h"
#include "kernels/neon/block_tile.h"

#if !defined(__ARM_FEATURE_DOTPROD)
#error "compile this file with -march=armv8.2-a+dotprod"
#endif

namespace tessera::neon_dotprod {

void apply(MatmulKernels& table) { apply_blocks(table); }

}  // namespace tessera::neon_dotprod
