#include "tokenizer/piece_model.h"

#include <algorithm>

namespace tessera {
namespace {

bool is_text_type(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUserDefined || type == TokenType::kUnused ||
         type == TokenType::kUndefined;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

TextTokens::TextTokens(const TokenizerSpec& spec) {
  ids_.reserve(spec.tokens.size());
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (!is_text_type(spec.types[i]) || spec.tokens[i].empty()) continue;
    ids_.emplace(spec.tokens[i], static_cast<int32_t>(i));
    max_bytes_ = std::max(max_bytes_, spec.tokens[i].size());
  }
}

int byte_of_token_text(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = hex_digit(text[3]);
  const int low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::array<int32_t, 256> byte_token_ids(const TokenizerSpec& spec) {
  std::array<int32_t, 256> ids;
  ids.fill(kNoToken);
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const int byte = byte_of_token_text(spec.tokens[i]);
    if (byte >= 0 && spec.types[i] == TokenType::kByte) ids[static_cast<size_t>(byte)] = static_cast<int32_t>(i);
  }
  return ids;
}

}  // namespace tessera
