// Regex: a compiled PCRE2 pattern for pre-tokenizers. UTF mode with Unicode properties, JIT where the machine has it,
// and a limit on the work of one match. The patterns are ours, the subject is anybody's.
#ifndef TESSERA_TOKENIZER_REGEX_H_
#define TESSERA_TOKENIZER_REGEX_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "base/status.h"

namespace tessera {

class Regex {
 public:
  // \s and \S mean Unicode's White_Space property, as in the engines the patterns were written for; PCRE2's own class
  // differs by U+180E.
  static Result<Regex> compile(std::string_view pattern);

  // Calls `piece` for every match and every gap between matches, in order, so that the pieces together are the text.
  // The text must be valid UTF-8. Where a match exceeds its limits the rest of the text is one piece.
  void split(std::string_view text, FunctionRef<void(std::string_view)> piece) const;

 private:
  struct Deleter {
    void operator()(void* code) const;
  };
  std::unique_ptr<void, Deleter> code_;
};

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_REGEX_H_
