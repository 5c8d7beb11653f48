#include "formats/text.h"

#include <fmt/format.h>

namespace tessera {

std::string quotable(std::string_view text, size_t max_bytes) {
  std::string out;
  const std::string_view head = text.substr(0, max_bytes);
  for (const char c : head) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (text.size() > head.size()) out += "...";
  return out;
}

std::string in_quotes(std::string_view text, size_t max_bytes) { return "\"" + quotable(text, max_bytes) + "\""; }

}  // namespace tessera
