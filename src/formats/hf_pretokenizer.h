// Which of GGUF's named pre-tokenizers (tokenizer.ggml.pre) a tokenizer.json describes. GGUF stores a name where
// Hugging Face stores the steps and patterns; a wrong name gives wrong tokens without any error, so an unknown
// combination is refused, not guessed.
#ifndef TESSERA_FORMATS_HF_PRETOKENIZER_H_
#define TESSERA_FORMATS_HF_PRETOKENIZER_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace tessera {

// For byte-level BPE: `pre_tokenizer` of tokenizer.json. kUnsupported when its steps are not one of the known lists.
Result<std::string> recognize_pre_tokenizer(const nlohmann::json& pre_tokenizer);

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_PRETOKENIZER_H_
