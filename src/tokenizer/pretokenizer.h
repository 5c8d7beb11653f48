// Pre-tokenizer: cuts text into words before byte-level BPE; no merge crosses a cut. The pattern belongs to the
// vocabulary (tokenizer.ggml.pre): with another one the ids are valid and wrong, the most common silent fault of
// converted models. An unknown name is therefore an error, not a default.
#ifndef TESSERA_TOKENIZER_PRETOKENIZER_H_
#define TESSERA_TOKENIZER_PRETOKENIZER_H_

#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "tokenizer/regex.h"

namespace tessera {

class PreTokenizer {
 public:
  static Result<PreTokenizer> create(std::string_view name);

  // Calls `word` for each word in order; together they are the text. Bytes that are no UTF-8 form words of their own.
  void split(std::string_view text, FunctionRef<void(std::string_view)> word) const;

  // The vocabularies of this pattern take a whole word that is a token as it is, whatever the merges say.
  bool ignore_merges() const { return ignore_merges_; }

 private:
  void split_from(size_t stage, std::string_view text, FunctionRef<void(std::string_view)> word) const;

  // Each stage cuts the pieces of the one before.
  std::vector<Regex> stages_;
  bool ignore_merges_ = false;
};

// Names that create() knows.
std::vector<std::string_view> pre_tokenizer_names();

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_PRETOKENIZER_H_
