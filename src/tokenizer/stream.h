// Text that leaves token by token: TextStream turns ids into whole characters, StopMatcher finds stop strings that may
// straddle tokens. The command line and the server chain them: id -> TextStream -> StopMatcher -> user.
#ifndef TESSERA_TOKENIZER_STREAM_H_
#define TESSERA_TOKENIZER_STREAM_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace tessera {

// One generated sequence. A character whose bytes are spread over tokens is held back until it is complete; bytes that
// can no longer become a character come out as U+FFFD, so what comes out is always valid UTF-8.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  std::string push(int32_t id);
  std::string push_bytes(std::string_view bytes);
  // What is held back, at the end of the sequence.
  std::string flush();
  // For sequences that continue nothing: decode() takes one space off the start of a text, and so does a stream that is
  // told that its first token starts one.
  void strip_leading_space() { at_start_ = tokenizer_->strips_leading_space(); }

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  std::string pending_;  // at most 3 bytes
  bool at_start_ = false;
};

// Passes text through up to the first stop string. Text that may be the beginning of one is held back until it is
// decided. Each byte costs constant time per stop string, amortized (Knuth, Morris and Pratt 1977).
class StopMatcher {
 public:
  // Empty stop strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  // Returns the text that is free to go. After a match: the text before the stop string; further text is swallowed.
  std::string push(std::string_view text);
  std::string flush();

  bool stopped() const { return stopped_; }
  // The stop string that was found.
  std::string_view matched() const { return stopped_ ? std::string_view(patterns_[match_].text) : std::string_view(); }

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> failure;  // failure[i]: length of the longest proper border of text[0, i)
    size_t state = 0;             // bytes matched so far
  };
  std::vector<Pattern> patterns_;
  std::string held_;
  size_t match_ = 0;
  bool stopped_ = false;
};

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_STREAM_H_
