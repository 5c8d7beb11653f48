#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// What may follow a first byte: the length of the character and the range of its second byte (Unicode, table 3-7).
struct Lead {
  uint32_t bytes;
  uint8_t second_min, second_max;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xc2 && byte <= 0xdf) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

// Bytes at `position` that agree with a well-formed character; *needed is the length that it would have, 0 for a byte
// that begins none.
uint32_t matching_bytes(std::string_view text, size_t position, uint32_t* needed) {
  const Lead lead = lead_of(static_cast<uint8_t>(text[position]));
  *needed = lead.bytes;
  if (lead.bytes == 0) return 0;
  uint32_t count = 1;
  while (count < lead.bytes && position + count < text.size()) {
    const uint8_t byte = static_cast<uint8_t>(text[position + count]);
    const uint8_t low = count == 1 ? lead.second_min : 0x80;
    const uint8_t high = count == 1 ? lead.second_max : 0xbf;
    if (byte < low || byte > high) break;
    ++count;
  }
  return count;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, size_t position) {
  uint32_t needed = 0;
  const uint32_t count = matching_bytes(text, position, &needed);
  if (needed == 0 || count < needed) return {0, 1, false};
  const uint8_t first = static_cast<uint8_t>(text[position]);
  char32_t code_point = needed == 1 ? first : first & (0xffu >> (needed + 1));
  for (uint32_t i = 1; i < needed; ++i) {
    code_point = (code_point << 6) | (static_cast<uint8_t>(text[position + i]) & 0x3fu);
  }
  return {code_point, needed, true};
}

void append_utf8(char32_t c, std::string* out) {
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    if (static_cast<uint8_t>(text[position]) < 0x80) {
      ++position;
      continue;
    }
    const Utf8Char c = decode_utf8(text, position);
    if (!c.valid) break;
    position += c.bytes;
  }
  return position;
}

size_t incomplete_utf8_suffix(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    uint32_t needed = 0;
    const uint32_t count = matching_bytes(text, text.size() - back, &needed);
    if (needed == 0) continue;  // a continuation byte: its first byte is further left
    return count == back && count < needed ? back : 0;
  }
  return 0;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    out.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    uint32_t needed = 0;
    const uint32_t broken = matching_bytes(text, 0, &needed);
    append_utf8(kReplacementCharacter, &out);
    text.remove_prefix(broken == 0 ? 1 : broken);
  }
  return out;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  while (true) {
    const size_t found = text.find(from);
    out.append(text.substr(0, found));
    if (found == std::string_view::npos) return out;
    out.append(to);
    text.remove_prefix(found + from.size());
  }
}

}  // namespace tessera
