// Methods of strings, as Python has them.
#include <utf8proc.h>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text_operations.h"
#include "tokenizer/utf8.h"

namespace tessera::jinja {
namespace {

const Text& text_argument(const Arguments& args, size_t i, const std::string& method) {
  if (args.positional.size() <= i) fail(args.line, "{}: expected an argument", method);
  if (!args.positional[i].is_text()) {
    fail(args.line, "{}: expected a string, found {}", method, args.positional[i].type_name());
  }
  return args.positional[i].text();
}

bool begins_or_ends(const Text& text, const Text& part, bool begins) {
  return begins ? text.bytes().starts_with(part.bytes()) : text.bytes().ends_with(part.bytes());
}

Value starts_or_ends_with(Interpreter* in, const Text& text, const std::string& name, const Arguments& args) {
  const bool begins = name == "startswith";
  if (!args.positional.empty() && args.positional[0].is_list()) {
    for (const Value& part : in->iterate(args.positional[0], args.line)) {
      if (part.is_text() && part.text().size() <= text.size()) in->charge_work(part.text().size(), args.line);
      if (part.is_text() && begins_or_ends(text, part.text(), begins)) return Value(true);
    }
    return Value(false);
  }
  return Value(begins_or_ends(text, text_argument(args, 0, name), begins));
}

Value split_method(Interpreter* in, const Text& text, const std::string& name, const Arguments& args) {
  const Value separator = args.get(0, "sep", Value());
  const Value limit = args.get(1, "maxsplit", Value(int64_t{-1}));
  if (!separator.is_text() && !separator.is_none()) fail(args.line, "{}: expected a string", name);
  if (separator.is_text() && separator.text().empty()) fail(args.line, "{}: the separator is empty", name);
  std::vector<Value> parts;
  for (Text& part : split(in, text, separator.is_text() ? &separator.text() : nullptr,
                          limit.is_int() ? limit.as_int() : -1, name == "rsplit", args.line)) {
    parts.emplace_back(std::move(part));
  }
  return in->make_list(std::move(parts));
}

// Positions count characters.
Value find_method(const Text& text, const std::string& name, const Arguments& args) {
  const std::string& part = text_argument(args, 0, name).bytes();
  const size_t found = name == "rfind" ? find_last_text(text.bytes(), part) : find_text(text.bytes(), part);
  if (found == std::string::npos) {
    if (name == "index") fail(args.line, "index: no such part");
    return Value(int64_t{-1});
  }
  return Value(static_cast<int64_t>(character_count(std::string_view(text.bytes()).substr(0, found))));
}

Value count_method(const Text& text, const Arguments& args) {
  const std::string& part = text_argument(args, 0, "count").bytes();
  if (part.empty()) return Value(static_cast<int64_t>(character_count(text.bytes())) + 1);
  int64_t count = 0;
  for (size_t at = find_text(text.bytes(), part); at != std::string::npos;
       at = find_text(text.bytes(), part, at + part.size())) {
    ++count;
  }
  return Value(count);
}

bool character_is(char32_t c, std::string_view method) {
  const utf8proc_category_t kind = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  const bool letter = kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
  const bool digit = kind == UTF8PROC_CATEGORY_ND;
  if (method == "isdigit") return digit;
  if (method == "isalpha") return letter;
  return letter || digit;  // isalnum
}

Value is_method(const Text& text, const std::string& name) {
  if (text.empty()) return Value(false);
  if (name == "isupper" || name == "islower") {
    const bool upper = name == "isupper";
    const Text same = change_case(text, upper ? LetterCase::kUpper : LetterCase::kLower);
    const Text other = change_case(text, upper ? LetterCase::kLower : LetterCase::kUpper);
    return Value(same.bytes() == text.bytes() && other.bytes() != text.bytes());
  }
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.bytes(), i);
    const bool is =
        name == "isspace" ? white_space_at(text.bytes(), i) > 0 : c.valid && character_is(c.code_point, name);
    if (!is) return Value(false);
    i += c.bytes;
  }
  return Value(true);
}

Value remove_affix(const Text& text, const std::string& name, const Arguments& args) {
  const Text& part = text_argument(args, 0, name);
  const bool prefix = name == "removeprefix";
  if (!begins_or_ends(text, part, prefix)) return Value(text);
  return Value(prefix ? text.substr(part.size()) : text.substr(0, text.size() - part.size()));
}

Value join_method(Interpreter* in, const Text& separator, const Arguments& args) {
  if (args.positional.empty()) fail(args.line, "join: expected a sequence");
  Arguments join;
  join.line = args.line;
  join.positional = {Value(separator)};
  return in->apply_filter("join", args.positional[0], join);
}

}  // namespace

std::optional<Value> text_method(Interpreter* in, const Text& text, const std::string& name, const Arguments& args) {
  in->charge_bytes(text.size(), args.line);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Value* chars = args.find(0, "chars");
    if (chars != nullptr && chars->is_text()) in->charge_bytes(chars->text().size() * kValueBytes, args.line);
    return Value(strip(text, chars != nullptr && chars->is_text() ? &chars->text() : nullptr, name != "rstrip",
                       name != "lstrip"));
  }
  if (name == "split" || name == "rsplit") return split_method(in, text, name, args);
  if (name == "splitlines") {
    std::vector<Value> lines;
    for (Text& line : split_lines(in, text, args.get(0, "keepends", Value(false)).truthy(), args.line)) {
      lines.emplace_back(std::move(line));
    }
    return in->make_list(std::move(lines));
  }
  if (name == "startswith" || name == "endswith") return starts_or_ends_with(in, text, name, args);
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize" || name == "replace") {
    return in->apply_filter(name, Value(text), args);
  }
  if (name == "find" || name == "rfind" || name == "index") return find_method(text, name, args);
  if (name == "count") return count_method(text, args);
  if (name == "join") return join_method(in, text, args);
  if (name == "removeprefix" || name == "removesuffix") return remove_affix(text, name, args);
  return is_method(text, name);
}

}  // namespace tessera::jinja
