// What the language does with values, apart from control flow: operators, comparison, conversion to text and JSON, and
// the tables of filters, tests and methods.
#ifndef TESSERA_TOKENIZER_JINJA_OPERATIONS_H_
#define TESSERA_TOKENIZER_JINJA_OPERATIONS_H_

#include <optional>
#include <string>

#include "tokenizer/jinja/interpreter.h"

namespace tessera::jinja {

// + - * / // % ** ~ == != < > <= >= in "not in"
Value binary_operation(Interpreter* in, const std::string& op, const Value& left, const Value& right, int line);
bool equal(Interpreter* in, const Value& left, const Value& right, int depth = 0);
// Negative, zero, positive; throws when the two have no order.
int compare(Interpreter* in, const Value& left, const Value& right, int line, int depth = 0);
bool contains(Interpreter* in, const Value& container, const Value& item, int line);

// As Python's str() and repr() give it.
Text to_text(Interpreter* in, const Value& value, int line);
Text to_repr(Interpreter* in, const Value& value, int line);

struct JsonStyle {
  int indent = -1;  // -1: one line
  std::string item_separator, key_separator;
  bool sort_keys = false;
  bool ascii = false;
};
Text to_json(Interpreter* in, const Value& value, const JsonStyle& style, int line);

// value[start:stop:step] of lists and strings.
Value slice(Interpreter* in, const Value& value, const Value& start, const Value& stop, const Value& step, int line);

// Characters of valid or invalid UTF-8, and where the one of this number begins; the end when there are fewer.
size_t character_count(std::string_view text);
size_t character_begin(std::string_view text, size_t number);

// Filters that work on sequences; the others are in Interpreter::apply_filter's own table. Nothing if the name is
// unknown.
std::optional<Value> sequence_filter(Interpreter* in, const std::string& name, const Value& operand,
                                     const Arguments& args);
std::optional<Value> text_filter(Interpreter* in, const std::string& name, const Value& operand, const Arguments& args);

// Whether objects of this type have a method of that name, and the call.
bool has_method(const Value& object, std::string_view name);
Value call_method(Interpreter* in, const Value& object, const std::string& name, const Arguments& args);
std::optional<Value> text_method(Interpreter* in, const Text& text, const std::string& name, const Arguments& args);

bool is_global_function(std::string_view name);
Value call_global(Interpreter* in, const std::string& name, const Arguments& args);

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_OPERATIONS_H_
