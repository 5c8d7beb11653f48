// Shapes of well-known models, and the list of tensors that a checkpoint of such a shape holds: what `tessera synth`
// fills with random numbers so that speed and memory can be measured without downloading anything.
#ifndef TESSERA_CLI_SYNTH_SHAPE_H_
#define TESSERA_CLI_SYNTH_SHAPE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "compress/weight_recipe.h"
#include "formats/metadata.h"
#include "tensor/shape.h"

namespace tessera {

struct SynthShape {
  std::string name;
  std::string architecture = "llama";
  int64_t layers = 0, model_dim = 0, heads = 0, kv_heads = 0, head_dim = 0, ff_dim = 0, vocab = 0, context_tokens = 0;
  double rope_base = 10000;
  double norm_eps = 1e-5;
  bool tied_embeddings = false;
  bool qkv_bias = false;  // qwen2
  bool qk_norm = false;   // qwen3
};

std::span<const SynthShape> known_shapes();
Result<SynthShape> find_shape(std::string_view name);  // kNotFound lists the names
Status validate(const SynthShape& shape);              // names the offending option

struct SynthTensor {
  std::string name;
  Shape shape;
  TensorPlace place;  // what the name says
};

MixModel mix_model(const SynthShape& shape);
std::vector<SynthTensor> synth_tensors(const SynthShape& shape);

// Architecture keys and a SentencePiece-like vocabulary: unknown, begin, end, 256 bytes, then made-up pieces.
Metadata synth_metadata(const SynthShape& shape, uint64_t file_type);

}  // namespace tessera

#endif  // TESSERA_CLI_SYNTH_SHAPE_H_
