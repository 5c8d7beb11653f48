// The vocabulary part of a Hugging Face tokenizer: tokens, types, scores, merges, by whatever file has them.
// Private to formats/ (hf_tokenizer.cc).
#ifndef TESSERA_FORMATS_HF_VOCABULARY_H_
#define TESSERA_FORMATS_HF_VOCABULARY_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "formats/sentencepiece.h"

namespace tessera {

// Values of tokenizer.ggml.token_type.
inline constexpr int32_t kTokenNormal = 1, kTokenUnknown = 2, kTokenControl = 3, kTokenUserDefined = 4,
                         kTokenUnused = 5, kTokenByte = 6;

struct HfVocabulary {
  std::string model;  // tokenizer.ggml.model: llama, gpt2, t5, bert
  std::string pre;    // gpt2 only
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;  // llama and t5 only
  std::vector<std::string> merges;
  std::string charsmap;
  std::string unknown;  // text of the unknown token, may be empty
  bool add_space_prefix = false;
  bool remove_extra_whitespaces = false;
  bool nfc = false;
  bool lowercase = true;  // bert only
  std::vector<int32_t> lstrip_ids, rstrip_ids;
  std::unordered_map<std::string, int32_t> ids;  // of tokens, as the files spell them

  int64_t find(const std::string& text) const {
    const auto it = ids.find(text);
    return it == ids.end() ? -1 : it->second;
  }
};

// tokenizer.json without its added tokens.
Result<HfVocabulary> vocabulary_from_json(const nlohmann::json& tokenizer);
Result<HfVocabulary> vocabulary_from_sentencepiece(SentencePieceModel model);

struct AddedToken {
  int64_t id;
  std::string content;
  bool special, lstrip, rstrip;
};
// Adds or retypes one token, whose id is not negative; it may leave a gap, which stays unused.
Status add_token(const AddedToken& token, HfVocabulary* vocabulary);
// Up to the model's vocab_size, with unused tokens. Fails when the vocabulary is already larger.
Status pad_vocabulary(int64_t size, HfVocabulary* vocabulary);

// For each token the negative rank of the first merge that makes it: the order in which SentencePiece BPE merges, which
// is all that its scores mean.
std::vector<float> scores_from_merges(const HfVocabulary& vocabulary);

}  // namespace tessera

#endif  // TESSERA_FORMATS_HF_VOCABULARY_H_
