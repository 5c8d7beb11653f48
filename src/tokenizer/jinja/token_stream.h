// TokenStream: the parser's view of the tokens, with its depth limit.
#ifndef TESSERA_TOKENIZER_JINJA_TOKEN_STREAM_H_
#define TESSERA_TOKENIZER_JINJA_TOKEN_STREAM_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/lexer.h"

namespace tessera::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek() const { return tokens_[position_]; }
  const Token& next() {
    const Token& token = tokens_[position_];
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }
  int line() const { return peek().line; }
  bool at(TokenKind kind) const { return peek().kind == kind; }
  bool at_operator(std::string_view text) const { return at(TokenKind::kOperator) && peek().text == text; }
  bool at_name(std::string_view text) const { return at(TokenKind::kName) && peek().text == text; }
  bool take_operator(std::string_view text) { return at_operator(text) && (next(), true); }
  bool take_name(std::string_view text) { return at_name(text) && (next(), true); }

  void expect_operator(std::string_view text) {
    if (!take_operator(text)) fail(line(), "expected '{}', found {}", text, describe());
  }
  void expect_name(std::string_view text) {
    if (!take_name(text)) fail(line(), "expected '{}', found {}", text, describe());
  }
  void expect(TokenKind kind, std::string_view what) {
    if (!at(kind)) fail(line(), "expected {}, found {}", what, describe());
    next();
  }
  std::string name(std::string_view what) {
    if (!at(TokenKind::kName)) fail(line(), "expected {}, found {}", what, describe());
    return next().text;
  }
  std::string describe() const {
    switch (peek().kind) {
      case TokenKind::kPrintEnd:
      case TokenKind::kBlockEnd: return "the end of the tag";
      case TokenKind::kEnd: return "the end of the template";
      case TokenKind::kData: return "text";
      default: return "'" + peek().text.substr(0, 40) + "'";
    }
  }

  // One level of nesting for as long as it lives.
  class Nest {
   public:
    explicit Nest(TokenStream* stream) : stream_(stream) {
      if (++stream_->depth_ > kMaxDepth) fail(stream_->line(), "nested deeper than {} levels", kMaxDepth);
    }
    ~Nest() { --stream_->depth_; }
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;

   private:
    TokenStream* stream_;
  };

 private:
  static constexpr int kMaxDepth = 100;
  std::vector<Token> tokens_;
  size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_TOKEN_STREAM_H_
