#include "tokenizer/stream.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace tessera {

std::string TextStream::push(int32_t id) {
  std::string_view piece = tokenizer_->piece(id);
  if (piece.empty() && !options_.skip_special) piece = tokenizer_->token_text(id);
  if (at_start_ && piece.starts_with(' ')) piece.remove_prefix(1);
  if (!tokenizer_->piece(id).empty()) at_start_ = false;
  return push_bytes(piece);
}

std::string TextStream::push_bytes(std::string_view bytes) {
  pending_ += bytes;
  const size_t incomplete = incomplete_utf8_suffix(pending_);
  const std::string_view whole = std::string_view(pending_).substr(0, pending_.size() - incomplete);
  std::string out = replace_invalid_utf8(whole);
  pending_.erase(0, whole.size());
  return out;
}

std::string TextStream::flush() {
  std::string out = replace_invalid_utf8(pending_);
  pending_.clear();
  return out;
}

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& text : stops) {
    if (text.empty()) continue;
    Pattern pattern{.text = std::move(text), .failure = {0, 0}};
    for (size_t i = 1, border = 0; i < pattern.text.size(); ++i) {
      while (border > 0 && pattern.text[i] != pattern.text[border]) border = pattern.failure[border];
      if (pattern.text[i] == pattern.text[border]) ++border;
      pattern.failure.push_back(border);
    }
    patterns_.push_back(std::move(pattern));
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  if (patterns_.empty()) return std::string(text);
  const size_t held_before = held_.size();
  held_ += text;
  for (size_t i = held_before; i < held_.size(); ++i) {
    size_t longest = 0;
    for (size_t p = 0; p < patterns_.size(); ++p) {
      Pattern& pattern = patterns_[p];
      while (pattern.state > 0 && held_[i] != pattern.text[pattern.state])
        pattern.state = pattern.failure[pattern.state];
      if (held_[i] == pattern.text[pattern.state]) ++pattern.state;
      if (pattern.state == pattern.text.size() && pattern.state > longest) {
        longest = pattern.state;
        match_ = p;
      }
      // The state of a complete match is not advanced any further: stopped_ ends the search below.
    }
    if (longest > 0) {
      stopped_ = true;
      held_.resize(i + 1 - longest);
      return std::move(held_);
    }
  }
  size_t keep = 0;
  for (const Pattern& pattern : patterns_) keep = std::max(keep, pattern.state);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopMatcher::flush() {
  if (stopped_) return {};
  for (Pattern& pattern : patterns_) pattern.state = 0;
  return std::exchange(held_, {});
}

}  // namespace tessera
