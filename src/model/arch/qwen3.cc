// Qwen 3 (Yang et al. 2025): no biases, RMS norm on every query and key head, head size independent of the model's width.
#include "model/arch/arch.h"

namespace tessera {

Result<ModelSpec> read_qwen3(const ArchInput& input) {
  TESSERA_ASSIGN_OR_RETURN(ModelSpec spec, read_common(input));
  spec.qk_norm = true;
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rope.pairs = RopePairs::kHalves;
    layer.attention.qk_norm_eps = spec.norm.eps;
  }
  return spec;
}

}  // namespace tessera
