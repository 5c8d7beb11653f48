// SpecialMatcher: finds control and user-defined tokens in text, the longest at the leftmost place first, so that they
// are cut out before anything else looks at the text. User-defined tokens are found everywhere; control tokens only
// where the caller allows them, byte range by byte range.
#ifndef TESSERA_TOKENIZER_SPECIAL_MATCHER_H_
#define TESSERA_TOKENIZER_SPECIAL_MATCHER_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/flat_map.h"
#include "tokenizer/tokenizer_spec.h"

namespace tessera {

// Byte ranges of a text, ascending and disjoint; adjacent ranges are one.
class TextRanges {
 public:
  static TextRanges all(size_t text_bytes) {
    TextRanges ranges;
    ranges.add(0, text_bytes);
    return ranges;
  }
  void add(size_t begin, size_t end);
  // Whether [begin, end) lies in one range. Calls with ascending `begin` take constant time each on average.
  bool covers(size_t begin, size_t end);

 private:
  struct Range {
    size_t begin, end;
  };
  std::vector<Range> ranges_;
  size_t current_ = 0;
};

class SpecialMatcher {
 public:
  explicit SpecialMatcher(const TokenizerSpec& spec);

  struct Part {
    std::string_view text;  // ordinary text, when id == kNoToken
    int32_t id = kNoToken;
  };
  // The text as a sequence of ordinary runs (none empty) and special tokens.
  std::vector<Part> split(std::string_view text, TextRanges control_allowed) const;

 private:
  struct Found {
    size_t bytes = 0;
    int32_t id = kNoToken;
  };
  Found longest_at(std::string_view text, size_t position, TextRanges* control_allowed) const;
  void add(std::string_view text, int32_t id);

  bool starts_token_[256] = {};
  FlatMap<int32_t> edges_;                          // node << 8 | byte -> node
  std::vector<int32_t> token_at_;                   // by node
  std::vector<bool> is_control_, lstrip_, rstrip_;  // by id
};

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_SPECIAL_MATCHER_H_
