// Tokenizer: text to token ids and back. The first and the last step of every request: prompt -> ids -> model -> ids ->
// text. One class for all models; what differs is the piece model behind it (SentencePiece-BPE, byte-level BPE,
// Unigram, WordPiece), chosen by the key tokenizer.ggml.model.
//
// The order of work in encode(): control and user-defined tokens are cut out of the text first (special_matcher.h),
// then every run between them goes through the piece model. Control tokens are recognised only in text that the caller
// declares to be his own (parse_special, or template segments): user text that spells <|im_end|> becomes plain text.
//
// Immutable after creation, safe to use from several threads. Every function takes time linear in its input, up to a
// logarithm. Text need not be valid UTF-8; byte-level and byte-fallback models keep invalid bytes as they are.
#ifndef TESSERA_TOKENIZER_TOKENIZER_H_
#define TESSERA_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/metadata.h"
#include "tokenizer/tokenizer_spec.h"

namespace tessera {

struct EncodeOptions {
  bool add_special = true;     // BOS, EOS, SEP as the model's flags say
  bool parse_special = false;  // the text may contain control tokens; false for text from outside
};

struct DecodeOptions {
  bool skip_special = true;  // control tokens give no text; false: their name
};

// A run of text and where it came from. Only template text can hold control tokens.
struct TextSegment {
  std::string text;
  bool from_input = false;

  friend bool operator==(const TextSegment&, const TextSegment&) = default;
};

class Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(TokenizerSpec spec);
  ~Tokenizer();

  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  // A rendered chat prompt. The text is tokenized as one piece, so that splitting it into segments changes no merge; a
  // control token is recognised where all its bytes are template text. BOS is added only when the template did not.
  std::vector<int32_t> encode_chat(std::span<const TextSegment> segments, bool add_special = true) const;

  // The bytes of the whole sequence; ids outside the vocabulary give nothing. The space that encode() puts before a
  // text is taken off again. (A byte-level model with a space prefix, as Hugging Face defines it, gives "a" and " a"
  // the same ids; they decode to "a".) For output that arrives token by token see stream.h.
  std::string decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

  // The bytes a token stands for within a text; empty for control and unknown tokens and ids outside the vocabulary.
  std::string_view piece(int32_t id) const;
  // The token as the vocabulary spells it ("▁the", "Ġthe", "<|im_end|>").
  std::string_view token_text(int32_t id) const;
  // The token of this spelling, whatever its type.
  std::optional<int32_t> find_token(std::string_view text) const;
  TokenType token_type(int32_t id) const;

  int32_t vocab_size() const;
  const SpecialIds& special() const;
  int32_t bos_id() const { return special().bos; }  // kNoToken when there is none
  int32_t eos_id() const { return special().eos; }
  int32_t eot_id() const { return special().eot; }
  // The model has finished its answer: EOS, end of turn, end of message.
  bool is_end_of_generation(int32_t id) const;
  std::span<const int32_t> end_of_generation_ids() const;

  bool adds_bos() const;
  bool adds_eos() const;
  // decode() takes one space off the start of a text.
  bool strips_leading_space() const;
  // "llama", "gpt2", "t5", "bert", and the name of the pre-tokenizer pattern ("" where there is none).
  std::string_view model_name() const;
  std::string_view pre_tokenizer_name() const;

 private:
  class Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

// Reads the keys tokenizer.ggml.* (tokenizer_spec.h).
Result<std::unique_ptr<Tokenizer>> create_tokenizer(const Metadata& metadata);

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_TOKENIZER_H_
