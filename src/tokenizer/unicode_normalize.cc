#include "tokenizer/unicode_normalize.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "tokenizer/utf8.h"

namespace tessera {
namespace {

constexpr int kMaxCombiningRun = 30;
constexpr size_t kMaxChunkBytes = 1 << 20;

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 0x80) return false;
  }
  return true;
}

// Bytes from the start of `text` (valid UTF-8) that can be normalized on their own: up to a base character that follows
// enough text, or the end of an overlong run of combining marks.
size_t chunk_bytes(std::string_view text) {
  int run = 0;
  for (size_t position = 0; position < text.size();) {
    const Utf8Char c = decode_utf8(text, position);
    const bool combining = c.code_point >= 0x300 &&
                           utf8proc_get_property(static_cast<utf8proc_int32_t>(c.code_point))->combining_class != 0;
    run = combining ? run + 1 : 0;
    if (run > kMaxCombiningRun || (c.code_point < 0x80 && position > kMaxChunkBytes)) return position;
    position += c.bytes;
  }
  return text.size();
}

void append_composed(std::string_view text, std::string* out) {
  while (!text.empty()) {
    const size_t bytes = chunk_bytes(text);
    utf8proc_uint8_t* composed = nullptr;
    const utf8proc_ssize_t size =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(bytes),
                     &composed, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, std::free);
    if (size >= 0) {
      out->append(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
    } else {
      out->append(text.substr(0, bytes));
    }
    text.remove_prefix(bytes);
  }
}

}  // namespace

std::string compose_nfc(std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    append_composed(text.substr(0, valid), &out);
    text.remove_prefix(valid);
    while (!text.empty() && !decode_utf8(text, 0).valid) {
      out.push_back(text[0]);
      text.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace tessera
