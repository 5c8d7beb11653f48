// Operations on strings that filters and methods share. All keep the marks of the bytes.
#ifndef TESSERA_TOKENIZER_JINJA_TEXT_OPERATIONS_H_
#define TESSERA_TOKENIZER_JINJA_TEXT_OPERATIONS_H_

#include <string_view>
#include <vector>

#include "tokenizer/jinja/value.h"

namespace tessera::jinja {

// Without `chars`: white space.
Text strip(const Text& text, const Text* chars, bool left, bool right);
Text replace(const Text& text, std::string_view from, const Text& to, int64_t count);
// At most `max_splits` splits (negative: any number), from the right if told so. A null separator means runs of white
// space.
std::vector<Text> split(const Text& text, const Text* separator, int64_t max_splits, bool from_right);
std::vector<Text> split_lines(const Text& text, bool keep_ends);

enum class LetterCase { kUpper, kLower, kTitle, kCapitalize };
Text change_case(const Text& text, LetterCase letter_case);

// Bytes of the white space character at `position`; 0 if there is none.
size_t white_space_at(std::string_view text, size_t position);

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_TEXT_OPERATIONS_H_
