// Names and texts of a file in messages: they may hold anything, so control bytes are escaped and length is cut before
// they reach a terminal or a log.
#ifndef TESSERA_FORMATS_TEXT_H_
#define TESSERA_FORMATS_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

// The one function between foreign bytes and a terminal. Control characters (also those of two bytes, U+0080 to U+009F,
// and bytes that are no UTF-8) as \x1b, a new line as \n unless it is to stay (tabs then stay as well); other UTF-8 passes unchanged. What has gone through it
// goes through unchanged.
enum class NewLines { kEscape, kKeep };
std::string printable(std::string_view text, NewLines new_lines = NewLines::kEscape);

// JSON text whose strings hold no raw control characters: JSON allows DEL and U+0080 to U+009F as they are, a terminal obeys them.
// Goes through printable() unchanged.
std::string printable_json(std::string_view json);

// printable(), at most max_bytes of the original (then "...").
std::string quotable(std::string_view text, size_t max_bytes = 100);
// The same between double quotes.
std::string in_quotes(std::string_view text, size_t max_bytes = 100);

}  // namespace tessera

#endif  // TESSERA_FORMATS_TEXT_H_
