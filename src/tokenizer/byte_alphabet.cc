#include "tokenizer/byte_alphabet.h"

#include "tokenizer/utf8.h"

namespace tessera {
namespace {

bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

std::array<std::string, 256> make_alphabet() {
  std::array<std::string, 256> alphabet;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    append_utf8(stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++, &alphabet[static_cast<size_t>(byte)]);
  }
  return alphabet;
}

constexpr char32_t kAlphabetEnd = 0x100 + 68;

std::array<int, kAlphabetEnd> make_inverse() {
  std::array<int, kAlphabetEnd> inverse;
  inverse.fill(-1);
  for (int byte = 0; byte < 256; ++byte)
    inverse[decode_utf8(byte_alphabet()[static_cast<size_t>(byte)], 0).code_point] = byte;
  return inverse;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const std::array<std::string, 256> alphabet = make_alphabet();
  return alphabet;
}

std::optional<std::string> bytes_from_alphabet(std::string_view token) {
  static const std::array<int, kAlphabetEnd> inverse = make_inverse();
  std::string bytes;
  bytes.reserve(token.size());
  for (size_t position = 0; position < token.size();) {
    const Utf8Char c = decode_utf8(token, position);
    if (!c.valid || c.code_point >= kAlphabetEnd || inverse[c.code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(inverse[c.code_point]));
    position += c.bytes;
  }
  return bytes;
}

}  // namespace tessera
