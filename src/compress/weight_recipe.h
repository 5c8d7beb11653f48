// Which type each tensor of a published quantization has: "q4_k_m" is a mix, not a type. The same rules as the files
// that people download (llama.cpp's defaults without importance matrix), so sizes and speeds are comparable.
#ifndef TESSERA_COMPRESS_WEIGHT_RECIPE_H_
#define TESSERA_COMPRESS_WEIGHT_RECIPE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tessera {

enum class TensorRole {
  kEmbedding,
  kPosition,
  kOutput,
  kNorm,
  kBias,
  kQuery,
  kKey,
  kValue,
  kFusedQkv,
  kAttentionOut,
  kGate,
  kUp,
  kDown,
  kOther,
};

struct TensorPlace {
  TensorRole role = TensorRole::kOther;
  int64_t layer = -1;
};

// From a GGUF name: "blk.3.attn_v.weight" is the value projection of layer 3.
TensorPlace place_of(std::string_view name);

enum class MixSize { kPlain, kSmall, kMedium, kLarge };

struct WeightRecipe {
  DType base = DType::kF16;
  MixSize size = MixSize::kPlain;
  uint64_t file_type = 0;  // general.file_type
};

std::vector<std::string> recipe_names();                  // "q4_0", "q4_k_m", "bf16" ...
Result<WeightRecipe> find_recipe(std::string_view name);  // in any case; kNotFound lists the names

// What the mixes ask of a model.
struct MixModel {
  int64_t layers = 0, heads = 0, kv_heads = 0;
  bool tied_embeddings = false;
};

DType recipe_dtype(const WeightRecipe& recipe, const MixModel& model, const TensorPlace& place, const Shape& shape);

}  // namespace tessera

#endif  // TESSERA_COMPRESS_WEIGHT_RECIPE_H_
