// Normalizer of the SentencePiece models: the precompiled character map, white space rules, and "▁" for spaces
// (Kudo and Richardson 2018, section 3.2 to 3.4).
#ifndef TESSERA_TOKENIZER_NORMALIZER_H_
#define TESSERA_TOKENIZER_NORMALIZER_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/tokenizer_spec.h"

namespace tessera {

class Normalizer {
 public:
  static Result<Normalizer> create(const TokenizerSpec& spec);

  // Without a character map, bytes that are no UTF-8 stay as they are; with one they become U+FFFD. At most
  // kMaxRunBytes of text. A map that would make it more than 16 times as long is hostile: what comes after that length
  // stays unmapped.
  std::string apply(std::string_view text) const;

 private:
  void append_mapped(std::string_view text, std::string* out) const;

  Charsmap charsmap_;
  bool add_space_prefix_ = false;
  bool remove_extra_whitespaces_ = false;
};

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_NORMALIZER_H_
