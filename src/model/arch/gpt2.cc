// GPT-2 (Radford et al. 2019): learned positions, layer norm, fused qkv with biases, GELU (tanh form) without a gate.
#include "model/arch/arch.h"

namespace tessera {

Result<ModelSpec> read_gpt2(const ArchInput& input) {
  TESSERA_ASSIGN_OR_RETURN(ModelSpec spec, read_common(input));
  spec.norm.kind = NormKind::kLayer;
  spec.position_embeddings = true;
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rope.dims = 0;
    layer.ffn.gated = false;
    layer.ffn.activation = Activation::kGeluTanh;
  }
  return spec;
}

}  // namespace tessera
