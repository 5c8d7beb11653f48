// SentencePiece's precompiled normalizer ("precompiled_charsmap"): a double-array trie from byte sequences to
// replacement strings. Layout: u32 size of the trie in bytes, the trie as u32 units (the darts-clone encoding), then
// the replacements, each ended by a zero byte; a trie value is an offset among them. The bytes come from a model file:
// every step of a walk is checked against the size.
#ifndef TESSERA_TOKENIZER_CHARSMAP_H_
#define TESSERA_TOKENIZER_CHARSMAP_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tessera {

class Charsmap {
 public:
  // An empty string gives a map without entries.
  static Result<Charsmap> parse(std::string_view bytes);

  bool empty() const { return units_.empty(); }

  struct Match {
    size_t bytes = 0;  // of the input; 0: no entry begins here
    std::string_view replacement;
  };
  // The longest entry that is a prefix of `text`; nothing when its replacement is longer than any real one.
  Match longest_prefix(std::string_view text) const;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_CHARSMAP_H_
