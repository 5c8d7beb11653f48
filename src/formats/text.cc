#include "formats/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace tessera {

namespace {

// Bytes of the UTF-8 character at the start of `text`; 0 when there is none. Lead and continuation bytes are enough to know
// that a terminal will not take a byte for a control character.
size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

std::string printable(std::string_view text, NewLines new_lines) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<size_t>(1, length));
    if (character == "\n") {
      out += new_lines == NewLines::kKeep ? "\n" : "\\n";
    } else if (character == "\t" && new_lines == NewLines::kKeep) {
      out += "\t";
    } else if (length == 0 || is_control(character)) {
      for (const char c : character) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

std::string printable_json(std::string_view json) {
  std::string out;
  for (size_t i = 0; i < json.size(); ++i) {
    const auto next = i + 1 < json.size() ? static_cast<unsigned char>(json[i + 1]) : 0;
    if (json[i] == '\x7f') {
      out += "\\u007f";
    } else if (json[i] == '\xc2' && next >= 0x80 && next < 0xa0) {
      out += fmt::format("\\u{:04x}", next);
      ++i;
    } else {
      out += json[i];
    }
  }
  return out;
}

std::string quotable(std::string_view text, size_t max_bytes) {
  // Not in the middle of a character.
  size_t end = std::min(max_bytes, text.size());
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return printable(text.substr(0, end)) + (end < text.size() ? "..." : "");
}

std::string in_quotes(std::string_view text, size_t max_bytes) { return "\"" + quotable(text, max_bytes) + "\""; }

}  // namespace tessera
