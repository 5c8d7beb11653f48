// Lexer: template source -> text, {{ expressions }} and {% statements %} as tokens. White space control follows Jinja
// with trim_blocks and lstrip_blocks on, as transformers sets them: a statement or comment alone on its line leaves no
// trace.
#ifndef TESSERA_TOKENIZER_JINJA_LEXER_H_
#define TESSERA_TOKENIZER_JINJA_LEXER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::jinja {

enum class TokenKind {
  kData,        // text outside of tags
  kPrintBegin,  // {{
  kPrintEnd,    // }}
  kBlockBegin,  // {%
  kBlockEnd,    // %}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;
  int line;
};

// Throws TemplateError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_LEXER_H_
