// A Hugging Face folder as a checkpoint: config.json, model.safetensors (or shards with an index), tokenizer files.
// Everything comes out in GGUF's vocabulary, so that the two formats of one model look the same from above.
#ifndef TESSERA_FORMATS_HF_CHECKPOINT_H_
#define TESSERA_FORMATS_HF_CHECKPOINT_H_

#include <string>
#include <string_view>

#include "formats/checkpoint.h"

namespace tessera {

Result<Checkpoint> open_huggingface(const std::string& folder, const OpenOptions& options = {});

// The model's metadata from the text of config.json alone (fuzzing, tests).
Result<Metadata> translate_hf_config(std::string_view config_json);

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_CHECKPOINT_H_
