// Expressions of the template language, loosest binding first: inline if, or, and, not, comparisons, + -, ~, * / // %,
// **, signs, then filters and tests, which bind to the operand before them.
#ifndef TESSERA_TOKENIZER_JINJA_EXPRESSION_PARSER_H_
#define TESSERA_TOKENIZER_JINJA_EXPRESSION_PARSER_H_

#include "tokenizer/jinja/ast.h"
#include "tokenizer/jinja/token_stream.h"

namespace tessera::jinja {

ExprPtr parse_expression(TokenStream* tokens, bool with_condition = true);
// "a" or "a, b, c": the latter is a list.
ExprPtr parse_expression_list(TokenStream* tokens);
// name(args) | name ... after which nothing is applied yet: the operand is null.
ExprPtr parse_filter_chain(TokenStream* tokens);

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_EXPRESSION_PARSER_H_
