// Architecture adapters: each turns the metadata of one family into a ModelSpec. Adding a family is one file with one
// function, and its line in the list of arch.cc. Foreign key names appear only here and in formats/.
#ifndef TESSERA_MODEL_ARCH_ARCH_H_
#define TESSERA_MODEL_ARCH_ARCH_H_

#include <span>
#include <string_view>

#include "model/spec.h"

namespace tessera {

struct ArchInput {
  const Metadata& metadata;
  const WeightSource& weights;
  std::string_view prefix;  // general.architecture: the keys are "<prefix>.block_count" ...
};

struct ArchAdapter {
  std::string_view name;
  Result<ModelSpec> (*read)(const ArchInput& input);
};

std::span<const ArchAdapter> arch_adapters();

Result<ModelSpec> read_llama(const ArchInput& input);
Result<ModelSpec> read_qwen2(const ArchInput& input);
Result<ModelSpec> read_qwen3(const ArchInput& input);
Result<ModelSpec> read_gpt2(const ArchInput& input);

// What nearly all decoder-only families share (common.cc): sizes, heads per layer, feed-forward sizes, norm epsilon, rope
// with its scaling, tied embeddings. Defaults: RMS norm, pre-norm wiring, SwiGLU, interleaved rope pairs.
Result<ModelSpec> read_common(const ArchInput& input);

}  // namespace tessera

#endif  // TESSERA_MODEL_ARCH_ARCH_H_
