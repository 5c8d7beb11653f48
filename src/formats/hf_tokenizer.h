// The tokenizer of a Hugging Face folder in GGUF's keys (tokenizer.ggml.*, tokenizer.chat_template).
//
// Sources, by precedence: tokenizer.model (SentencePiece) where the model is SentencePiece BPE or Unigram, as only it
// has the original scores; else tokenizer.json. Added tokens, special tokens and templates come from tokenizer.json,
// tokenizer_config.json, chat_template.jinja, generation_config.json and config.json.
// Keys of our own: tokenizer.tessera.normalizer, .lstrip_token_ids, .rstrip_token_ids, .eos_token_ids (every id that
// ends a generation), .problem (why a tokenizer that is there was not translated: then all other keys are absent).
#ifndef TESSERA_FORMATS_HF_TOKENIZER_H_
#define TESSERA_FORMATS_HF_TOKENIZER_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/json_read.h"
#include "formats/metadata.h"

namespace tessera {

// Contents of the files; absent ones are empty.
struct HfTokenizerFiles {
  std::string_view tokenizer_json;
  std::string_view tokenizer_model;
  std::string_view tokenizer_config;
  std::string_view generation_config;
  std::string_view chat_template;
};

// `config` is the model's config.json (vocab_size and token ids are read from it where the other files are silent).
// kUnsupported for kinds of tokenizers that this project does not have; then nothing was set.
Status translate_hf_tokenizer(const HfTokenizerFiles& files, const JsonFields& config, Metadata* metadata);

// The same for a folder. No tokenizer files: nothing is set. An unsupported one: tokenizer.tessera.problem.
Status load_hf_tokenizer(const std::string& folder, const JsonFields& config, Metadata* metadata);

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_TOKENIZER_H_
