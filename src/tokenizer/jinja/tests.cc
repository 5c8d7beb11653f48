// The tests after "is".
#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text_operations.h"

namespace tessera::jinja {
namespace {

std::optional<bool> type_test(const std::string& name, const Value& v) {
  if (name == "defined") return !v.is_undefined();
  if (name == "undefined") return v.is_undefined();
  if (name == "none") return v.is_none();
  if (name == "boolean") return v.is_bool();
  if (name == "true") return v.is_bool() && v.as_bool();
  if (name == "false") return v.is_bool() && !v.as_bool();
  if (name == "integer") return v.is_int();
  if (name == "float") return v.is_float();
  if (name == "number") return v.is_number();
  if (name == "string") return v.is_text();
  if (name == "mapping") return v.is_dict();
  if (name == "iterable") return v.is_list() || v.is_dict() || v.is_text() || v.is_undefined();
  if (name == "sequence") return v.is_list() || v.is_dict() || v.is_text();
  if (name == "callable") return v.is_function() || v.is_undefined();
  if (name == "escaped") return false;
  return std::nullopt;
}

std::optional<bool> comparison_test(Interpreter* in, const std::string& name, const Value& v, const Value& other,
                                    int line) {
  if (name == "eq" || name == "equalto" || name == "==") return equal(in, v, other);
  if (name == "ne" || name == "!=") return !equal(in, v, other);
  if (name == "lt" || name == "lessthan" || name == "<") return compare(in, v, other, line) < 0;
  if (name == "le" || name == "<=") return compare(in, v, other, line) <= 0;
  if (name == "gt" || name == "greaterthan" || name == ">") return compare(in, v, other, line) > 0;
  if (name == "ge" || name == ">=") return compare(in, v, other, line) >= 0;
  if (name == "in") return contains(in, other, v, line);
  if (name == "sameas") {
    if (v.is_text()) in->charge_work(v.text().size(), line);
    return v.same_object(other);
  }
  return std::nullopt;
}

int64_t integer_operand(const Value& v, int line) {
  if (!v.is_int() && !v.is_bool()) fail(line, "expected an integer, found {}", v.type_name());
  return v.as_int();
}

}  // namespace

bool Interpreter::apply_test(const std::string& name, const Value& operand, const Arguments& args) {
  charge_steps(1, args.line);
  if (const auto result = type_test(name, operand)) return *result;
  if (!args.positional.empty()) {
    if (const auto result = comparison_test(this, name, operand, args.positional[0], args.line)) return *result;
  }
  if (name == "odd") return integer_operand(operand, args.line) % 2 != 0;
  if (name == "even") return integer_operand(operand, args.line) % 2 == 0;
  if (name == "divisibleby" && !args.positional.empty()) {
    const Value rest = binary_operation(this, "%", Value(integer_operand(operand, args.line)),
                                        Value(integer_operand(args.positional[0], args.line)), args.line);
    return rest.as_int() == 0;
  }
  if (name == "upper" || name == "lower") {
    const Text text = to_text(this, operand, args.line);
    charge_bytes(text.size(), args.line);
    return change_case(text, name == "upper" ? LetterCase::kUpper : LetterCase::kLower).bytes() == text.bytes();
  }
  fail(args.line, "no test named '{}'", name.substr(0, 40));
}

}  // namespace tessera::jinja
