// PieceModel: how one run of ordinary text becomes ids. One implementation per value of tokenizer.ggml.model; Tokenizer
// has already cut out control and user-defined tokens, so a model sees text only and never answers with a control
// token.
#ifndef TESSERA_TOKENIZER_PIECE_MODEL_H_
#define TESSERA_TOKENIZER_PIECE_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer_spec.h"

namespace tessera {

class PieceModel {
 public:
  virtual ~PieceModel() = default;
  // Appends the ids of `text`, at most kMaxRunBytes of it. Thread-safe.
  virtual void encode(std::string_view text, std::vector<int32_t>* ids) const = 0;
  // The bytes a token stands for. Asked once per token at creation.
  virtual std::string bytes_of(int32_t id) const = 0;
};

// Longer runs are cut by the caller; offsets inside a run fit 31 bits with room for what normalization adds.
constexpr size_t kMaxRunBytes = size_t{1} << 28;

// The spec must outlive the model.
Result<std::unique_ptr<PieceModel>> make_sentencepiece_bpe(const TokenizerSpec& spec);
Result<std::unique_ptr<PieceModel>> make_byte_bpe(const TokenizerSpec& spec);
Result<std::unique_ptr<PieceModel>> make_unigram(const TokenizerSpec& spec);
Result<std::unique_ptr<PieceModel>> make_wordpiece(const TokenizerSpec& spec);

// Text -> id for the tokens that text may become: not control, unknown or byte tokens. The first of equal spellings
// wins.
class TextTokens {
 public:
  explicit TextTokens(const TokenizerSpec& spec);
  int32_t find(std::string_view text) const {
    if (text.size() > max_bytes_) return kNoToken;
    const auto it = ids_.find(text);
    return it == ids_.end() ? kNoToken : it->second;
  }
  size_t max_bytes() const { return max_bytes_; }

 private:
  std::unordered_map<std::string_view, int32_t> ids_;
  size_t max_bytes_ = 0;
};

// Byte fallback: the ids of <0x00> ... <0xFF>, kNoToken where the vocabulary lacks one.
std::array<int32_t, 256> byte_token_ids(const TokenizerSpec& spec);
// The byte that "<0x0A>" names; -1 for any other text.
int byte_of_token_text(std::string_view text);

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_PIECE_MODEL_H_
