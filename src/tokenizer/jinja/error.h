// TemplateError: how the lexer, the parser and the interpreter report a fault of the template. Thrown and caught inside
// this component only (chat_template.cc turns it into a Status): an interpreter whose every expression can fail is a
// third as long with exceptions.
#ifndef TESSERA_TOKENIZER_JINJA_ERROR_H_
#define TESSERA_TOKENIZER_JINJA_ERROR_H_

#include <fmt/format.h>

#include <stdexcept>
#include <string>

#include "base/status.h"

namespace tessera::jinja {

class TemplateError : public std::runtime_error {
 public:
  TemplateError(StatusCode code, int line, const std::string& message)
      : std::runtime_error(line > 0 ? fmt::format("chat template, line {}: {}", line, message)
                                    : fmt::format("chat template: {}", message)),
        code_(code) {}
  Status status() const { return Status(code_, what()); }

 private:
  StatusCode code_;
};

template <class... Args>
[[noreturn]] void fail(int line, fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(StatusCode::kInvalidArgument, line, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_ERROR_H_
