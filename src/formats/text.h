// Names and texts of a file in messages: they may hold anything, so control bytes are escaped and length is cut before
// they reach a terminal or a log.
#ifndef TESSERA_FORMATS_TEXT_H_
#define TESSERA_FORMATS_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

// Printable, at most max_bytes of the original (then "..."). UTF-8 passes unchanged.
std::string quotable(std::string_view text, size_t max_bytes = 100);
// The same between double quotes.
std::string in_quotes(std::string_view text, size_t max_bytes = 100);

}  // namespace tessera

#endif  // TESSERA_FORMATS_TEXT_H_
