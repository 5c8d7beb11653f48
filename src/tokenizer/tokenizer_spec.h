// TokenizerSpec: what a model file says about its tokenizer, validated: sizes agree, ids are in range, names are known.
// Between the metadata (GGUF keys tokenizer.ggml.*, also produced for Hugging Face folders) and the piece models, which
// rely on what is checked here and read no metadata themselves.
//
// Keys of our own, written when a Hugging Face folder is translated and absent from GGUF files:
//   tokenizer.tessera.normalizer        "nfc" or "none"
//   tokenizer.tessera.problem           why the folder's tokenizer cannot be used, instead of a tokenizer
//   tokenizer.tessera.eos_token_ids     further tokens that end a generation
//   tokenizer.tessera.lstrip_token_ids  added tokens that swallow white space before them
//   tokenizer.tessera.rstrip_token_ids  ... after them
#ifndef TESSERA_TOKENIZER_TOKENIZER_SPEC_H_
#define TESSERA_TOKENIZER_TOKENIZER_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"

namespace tessera {

constexpr int32_t kNoToken = -1;

// Values of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

enum class TokenizerModel : uint8_t { kSentencePieceBpe, kByteBpe, kUnigram, kWordPiece };

struct SpecialIds {
  int32_t bos = kNoToken;
  int32_t eos = kNoToken;
  int32_t eot = kNoToken;  // end of turn
  int32_t eom = kNoToken;  // end of message (a tool call follows)
  int32_t unk = kNoToken;
  int32_t sep = kNoToken;
  int32_t pad = kNoToken;
  int32_t cls = kNoToken;
  int32_t mask = kNoToken;
};

struct TokenizerSpec {
  TokenizerModel model = TokenizerModel::kByteBpe;
  std::string pre;  // tokenizer.ggml.pre, byte-level BPE only

  // All of one length, the vocabulary size.
  std::vector<std::string> tokens;
  std::vector<float> scores;  // zeros when the file has none
  std::vector<TokenType> types;

  std::vector<std::string> merges;  // "left right", best first
  std::string charsmap;             // SentencePiece's precompiled normalizer, may be empty

  SpecialIds special;
  bool add_bos = false;
  bool add_eos = false;
  bool add_sep = false;
  bool add_space_prefix = false;  // byte-level BPE: only where a text does not begin with a space
  bool remove_extra_whitespaces = false;
  bool ignore_merges = false;  // a whole word that is a token is not split
  bool nfc = false;            // compose characters first
  bool lowercase = true;       // WordPiece: also strips accents

  std::vector<int32_t> eos_ids;  // further tokens that end a generation
  std::vector<int32_t> lstrip_ids;
  std::vector<int32_t> rstrip_ids;
};

// Reads and validates. kNotFound when the metadata has no tokenizer at all.
Result<TokenizerSpec> tokenizer_spec_from_metadata(const Metadata& metadata);

// Checks everything that the piece models rely on, and completes what files leave out: end-of-turn ids known by name,
// and the control type of tokens that are control tokens by name. For specs that come from elsewhere (tests, fuzzers).
Status complete_tokenizer_spec(TokenizerSpec* spec);

// Tokens that end a generation by their name: <|eot_id|>, <|im_end|>, ...
bool is_end_of_generation_name(std::string_view text);

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_TOKENIZER_SPEC_H_
