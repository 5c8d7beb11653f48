// Attention kernels of the avx512 layer: f32 multiply-adds for every cache type. avx512_bf16 and avx512_vnni overwrite the
// types that their dot products take.
#include "kernels/avx512/attention_isa.h"
#include "kernels/layers.h"

namespace tessera::avx512 {

void apply(AttentionKernels& table) { apply_all<Avx512>(table); }

}  // namespace tessera::avx512
