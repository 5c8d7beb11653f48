// Operations on strings that filters and methods share. All keep the marks of the bytes. All take time linear in the
// text (and the other texts given); those that make many values charge the interpreter for each before it is made.
#ifndef TESSERA_TOKENIZER_JINJA_TEXT_OPERATIONS_H_
#define TESSERA_TOKENIZER_JINJA_TEXT_OPERATIONS_H_

#include <string_view>
#include <vector>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/value.h"

namespace tessera::jinja {

// Without `chars`: white space.
Text strip(const Text& text, const Text* chars, bool left, bool right);
Text replace(const Text& text, std::string_view from, const Text& to, int64_t count);
// At most `max_splits` splits (negative: any number), from the right if told so. A null separator means runs of white
// space.
std::vector<Text> split(Interpreter* in, const Text& text, const Text* separator, int64_t max_splits, bool from_right,
                        int line);
std::vector<Text> split_lines(Interpreter* in, const Text& text, bool keep_ends, int line);
// Parts between white space.
size_t word_count(const Text& text);

// The first place at or after `from`, and the last one; npos when there is none.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);
size_t find_last_text(std::string_view text, std::string_view part);

enum class LetterCase { kUpper, kLower, kTitle, kCapitalize };
Text change_case(const Text& text, LetterCase letter_case);

// Bytes of the white space character at `position`; 0 if there is none.
size_t white_space_at(std::string_view text, size_t position);

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_TEXT_OPERATIONS_H_
