// Which type each tensor of a published quantization has: "q4_k_m" is a mix, not a type. The same rules as the files
// that people download (llama.cpp's defaults without importance matrix), so sizes and speeds are comparable.
#ifndef TESSERA_CLI_SYNTH_RECIPE_H_
#define TESSERA_CLI_SYNTH_RECIPE_H_

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "cli/synth_shape.h"
#include "tensor/dtype.h"

namespace tessera {

enum class MixSize { kPlain, kSmall, kMedium, kLarge };

struct SynthRecipe {
  DType base = DType::kF16;
  MixSize size = MixSize::kPlain;
  uint64_t file_type = 0;  // general.file_type
};

Result<SynthRecipe> find_recipe(std::string_view name);  // "q4_0", "Q4_K_M", "bf16"; kNotFound lists the names

DType recipe_dtype(const SynthRecipe& recipe, const SynthShape& shape, const SynthTensor& tensor);

}  // namespace tessera

#endif  // TESSERA_CLI_SYNTH_RECIPE_H_
