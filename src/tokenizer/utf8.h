// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. Everything here takes bytes that may be
// invalid and says so; nothing reads past the end.
#ifndef TESSERA_TOKENIZER_UTF8_H_
#define TESSERA_TOKENIZER_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

constexpr char32_t kReplacementCharacter = 0xfffd;
// "▁" (U+2581): how SentencePiece vocabularies spell a space.
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

struct Utf8Char {
  char32_t code_point;  // meaningless when not valid
  uint32_t bytes;       // 1 when not valid
  bool valid;
};

// The character at `position`, which must be inside the text.
Utf8Char decode_utf8(std::string_view text, size_t position);
void append_utf8(char32_t code_point, std::string* out);

// Bytes of the longest valid beginning.
size_t valid_utf8_prefix(std::string_view text);
// Bytes at the end of the text that begin a character whose rest is missing: 0 to 3.
size_t incomplete_utf8_suffix(std::string_view text);
// The text with U+FFFD for each run of bytes that is no character (one per maximal broken beginning, as browsers do).
std::string replace_invalid_utf8(std::string_view text);

// `text` with every `from` replaced by `to`.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace tessera

#endif  // TESSERA_TOKENIZER_UTF8_H_
