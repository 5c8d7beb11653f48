// Parser: tokens -> statements and expressions, by recursive descent with a limit on depth.
#ifndef TESSERA_TOKENIZER_JINJA_PARSER_H_
#define TESSERA_TOKENIZER_JINJA_PARSER_H_

#include <string_view>

#include "tokenizer/jinja/ast.h"

namespace tessera::jinja {

// Throws TemplateError.
Body parse_template(std::string_view source);

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_PARSER_H_
