// Qwen 2 and 2.5 (Yang et al. 2024): like llama, with biases on q, k, v (bound when the file has them) and rope over halves.
#include "model/arch/arch.h"

namespace tessera {

Result<ModelSpec> read_qwen2(const ArchInput& input) {
  TESSERA_ASSIGN_OR_RETURN(ModelSpec spec, read_common(input));
  for (LayerSpec& layer : spec.layers) layer.attention.rope.pairs = RopePairs::kHalves;
  return spec;
}

}  // namespace tessera
