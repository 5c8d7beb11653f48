#include "tokenizer/special_matcher.h"

#include <string>

#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// Bounds the work at one position of the text. Real names have up to 40 bytes; a longer one is never found in text.
constexpr size_t kMaxSpecialBytes = 256;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

void TextRanges::add(size_t begin, size_t end) {
  if (begin >= end) return;
  if (!ranges_.empty() && ranges_.back().end == begin) {
    ranges_.back().end = end;
  } else {
    ranges_.push_back({begin, end});
  }
}

bool TextRanges::covers(size_t begin, size_t end) {
  while (current_ < ranges_.size() && ranges_[current_].end <= begin) ++current_;
  return current_ < ranges_.size() && ranges_[current_].begin <= begin && end <= ranges_[current_].end;
}

SpecialMatcher::SpecialMatcher(const TokenizerSpec& spec) : token_at_(1, kNoToken) {
  const size_t vocab = spec.tokens.size();
  is_control_.resize(vocab);
  lstrip_.resize(vocab);
  rstrip_.resize(vocab);
  // SentencePiece spells the spaces of a token as marks; the text it is looked for in still has spaces.
  const bool has_marks = spec.model != TokenizerModel::kByteBpe;
  for (size_t i = 0; i < vocab; ++i) {
    const TokenType type = spec.types[i];
    is_control_[i] = type == TokenType::kControl || type == TokenType::kUnknown;
    if (!is_control_[i] && type != TokenType::kUserDefined) continue;
    add(has_marks ? replace_all(spec.tokens[i], kSpaceMark, " ") : spec.tokens[i], static_cast<int32_t>(i));
  }
  for (const int32_t id : spec.lstrip_ids) lstrip_[static_cast<size_t>(id)] = true;
  for (const int32_t id : spec.rstrip_ids) rstrip_[static_cast<size_t>(id)] = true;
}

void SpecialMatcher::add(std::string_view text, int32_t id) {
  if (text.empty() || text.size() > kMaxSpecialBytes) return;
  starts_token_[static_cast<uint8_t>(text[0])] = true;
  int32_t node = 0;
  for (const char c : text) {
    const uint64_t key = uint64_t(uint32_t(node)) << 8 | static_cast<uint8_t>(c);
    const int32_t fresh = static_cast<int32_t>(token_at_.size());
    node = edges_.insert(key, fresh);
    if (node == fresh) token_at_.push_back(kNoToken);
  }
  int32_t& token = token_at_[static_cast<size_t>(node)];
  if (token == kNoToken) token = id;
}

SpecialMatcher::Found SpecialMatcher::longest_at(std::string_view text, size_t position,
                                                 TextRanges* control_allowed) const {
  Found found;
  int32_t node = 0;
  for (size_t end = position; end < text.size();) {
    const int32_t* next = edges_.find(uint64_t(uint32_t(node)) << 8 | static_cast<uint8_t>(text[end]));
    if (next == nullptr) break;
    node = *next;
    ++end;
    const int32_t id = token_at_[static_cast<size_t>(node)];
    if (id == kNoToken) continue;
    if (is_control_[static_cast<size_t>(id)] && !control_allowed->covers(position, end)) continue;
    found = {end - position, id};
  }
  return found;
}

std::vector<SpecialMatcher::Part> SpecialMatcher::split(std::string_view text, TextRanges control_allowed) const {
  std::vector<Part> parts;
  size_t run = 0;
  for (size_t position = 0; position < text.size();) {
    Found found;
    if (starts_token_[static_cast<uint8_t>(text[position])]) found = longest_at(text, position, &control_allowed);
    if (found.bytes == 0) {
      ++position;
      continue;
    }
    size_t end = position;
    if (lstrip_[static_cast<size_t>(found.id)]) {
      while (end > run && is_space(text[end - 1])) --end;
    }
    if (end > run) parts.push_back({text.substr(run, end - run), kNoToken});
    parts.push_back({{}, found.id});
    position += found.bytes;
    if (rstrip_[static_cast<size_t>(found.id)]) {
      while (position < text.size() && is_space(text[position])) ++position;
    }
    run = position;
  }
  if (run < text.size()) parts.push_back({text.substr(run), kNoToken});
  return parts;
}

}  // namespace tessera
