#include "runtime/text_stream.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace tessera {
namespace {

// How many last bytes of `text` could be the beginning of `stop`.
size_t partial_match(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stop_strings) : stop_strings_(std::move(stop_strings)) {
  std::erase(stop_strings_, std::string());
}

std::string TextStream::push(std::string_view piece) {
  if (stopped_) return "";
  held_ += piece;
  size_t end = std::string::npos;
  for (const std::string& stop : stop_strings_) end = std::min(end, held_.find(stop));
  if (end != std::string::npos) {
    stopped_ = true;
    std::string text = held_.substr(0, end);
    held_.clear();
    return replace_invalid_utf8(text);
  }
  size_t keep = incomplete_utf8_suffix(held_);
  for (const std::string& stop : stop_strings_) keep = std::max(keep, partial_match(held_, stop));
  std::string text = held_.substr(0, held_.size() - keep);
  held_.erase(0, text.size());
  return replace_invalid_utf8(text);
}

std::string TextStream::flush() {
  std::string text = replace_invalid_utf8(held_);
  held_.clear();
  return text;
}

}  // namespace tessera
