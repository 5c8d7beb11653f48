#include "tokenizer/charsmap.h"

#include <algorithm>

namespace tessera {
namespace {

// Fields of a unit. An offset has 22 bits, shifted by 8 when its flag is set; a node that is a word has its value in
// the unit that the offset leads to, under the label 0.
bool has_value(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t value_of(uint32_t unit) { return unit & 0x7fffffffu; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000ffu; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

// No entry of a real map is longer than a few characters; a hostile trie can contain a cycle, and a walk along it must
// not make normalization quadratic.
constexpr size_t kMaxKeyBytes = 256;
// The longest replacement of the real maps (NFKC of U+FDFA) has 33 bytes; in a hostile map the next zero byte may be
// the end of the file.
constexpr size_t kMaxReplacementBytes = 1024;

uint32_t read_u32(std::string_view bytes, size_t position) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | static_cast<uint8_t>(bytes[position + static_cast<size_t>(i)]);
  return value;
}

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view bytes) {
  Charsmap map;
  if (bytes.empty()) return map;
  if (bytes.size() < 4) {
    return invalid_argument("precompiled_charsmap: expected a size of 4 bytes, found {} bytes", bytes.size());
  }
  const uint32_t trie_bytes = read_u32(bytes, 0);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4) {
    return invalid_argument("precompiled_charsmap: expected a trie of at most {} bytes, in whole words, found {}",
                            bytes.size() - 4, trie_bytes);
  }
  map.units_.reserve(trie_bytes / 4);
  for (size_t i = 0; i < trie_bytes; i += 4) map.units_.push_back(read_u32(bytes, 4 + i));
  map.replacements_ = bytes.substr(4 + size_t{trie_bytes});
  return map;
}

Charsmap::Match Charsmap::longest_prefix(std::string_view text) const {
  if (units_.empty()) return {};
  size_t matched = 0, begin = 0;
  const size_t end = std::min(text.size(), kMaxKeyBytes);
  size_t node = offset_of(units_[0]);
  for (size_t i = 0; i < end; ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= units_.size()) break;
    const uint32_t unit = units_[node];
    if (label_of(unit) != byte) break;
    node ^= offset_of(unit);
    if (!has_value(unit)) continue;
    if (node >= units_.size()) break;
    const size_t value = value_of(units_[node]);
    if (value >= replacements_.size()) break;
    matched = i + 1;
    begin = value;
  }
  if (matched == 0) return {};
  const std::string_view rest = std::string_view(replacements_).substr(begin, kMaxReplacementBytes + 1);
  const size_t bytes = std::min(rest.find('\0'), rest.size());
  if (bytes > kMaxReplacementBytes) return {};
  return {.bytes = matched, .replacement = rest.substr(0, bytes)};
}

}  // namespace tessera
