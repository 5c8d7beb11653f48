#include "tokenizer/normalizer.h"

#include <algorithm>

#include "tokenizer/piece_model.h"
#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// What a map may make of a text. The largest growth in a real one is elevenfold (U+FDFA: 3 bytes to 33).
constexpr size_t kMaxGrowth = 16;
// Replacements of one run together. With what they do not touch (3 bytes per byte at most) and 3 bytes per space,
// offsets in a normalized run fit 32 bits and symbols 31.
constexpr size_t kMaxMappedBytes = size_t{1} << 29;
static_assert(3 * (kMaxMappedBytes + kMaxRunBytes) + 3 < size_t{1} << 32);
static_assert(kMaxMappedBytes + 3 * kMaxRunBytes + 1 < size_t{1} << 31);

}  // namespace

Result<Normalizer> Normalizer::create(const TokenizerSpec& spec) {
  Normalizer normalizer;
  TESSERA_ASSIGN_OR_RETURN(normalizer.charsmap_, Charsmap::parse(spec.charsmap));
  normalizer.add_space_prefix_ = spec.add_space_prefix;
  normalizer.remove_extra_whitespaces_ = spec.remove_extra_whitespaces;
  return normalizer;
}

void Normalizer::append_mapped(std::string_view text, std::string* out) const {
  const size_t limit = std::min(kMaxGrowth * text.size() + 1024, kMaxMappedBytes);
  for (size_t position = 0; position < text.size();) {
    const Charsmap::Match match = charsmap_.longest_prefix(text.substr(position));
    if (match.bytes > 0 && out->size() + match.replacement.size() <= limit) {
      out->append(match.replacement);
      position += match.bytes;
      continue;
    }
    const Utf8Char c = decode_utf8(text, position);
    if (c.valid) {
      out->append(text.substr(position, c.bytes));
    } else {
      append_utf8(kReplacementCharacter, out);
    }
    position += c.bytes;
  }
}

std::string Normalizer::apply(std::string_view text) const {
  std::string mapped;
  if (!charsmap_.empty()) {
    append_mapped(text, &mapped);
    text = mapped;
  }
  std::string out;
  out.reserve(text.size() + text.size() / 2 + 4);
  if (!remove_extra_whitespaces_) {
    if (add_space_prefix_ && !text.empty()) out.append(kSpaceMark);
    for (const char c : text) {
      if (c == ' ') {
        out.append(kSpaceMark);
      } else {
        out.push_back(c);
      }
    }
    return out;
  }
  bool space_before = add_space_prefix_;
  for (const char c : text) {
    if (c == ' ') {
      space_before = space_before || !out.empty();
      continue;
    }
    if (space_before) out.append(kSpaceMark);
    space_before = false;
    out.push_back(c);
  }
  return out;
}

}  // namespace tessera
