// Llama 1-3, Mistral, TinyLlama, SmolLM (Touvron et al. 2023; Jiang et al. 2023): RMS norm, SwiGLU, GQA, rope over
// interleaved pairs (GGUF stores q and k permuted for them), optional sliding window and rope frequency factors.
#include "model/arch/arch.h"

namespace tessera {

Result<ModelSpec> read_llama(const ArchInput& input) { return read_common(input); }

}  // namespace tessera
