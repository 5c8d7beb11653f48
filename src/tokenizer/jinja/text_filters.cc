// Filters on single values: text, numbers, JSON.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text_operations.h"

namespace tessera::jinja {
namespace {

constexpr int64_t kMaxIndent = 1000;

Value filter_tojson(Interpreter* in, const Value& operand, const Arguments& args) {
  JsonStyle style;
  // transformers: tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False).
  const Value* ascii = args.find(0, "ensure_ascii");
  const Value* indent = args.find(1, "indent");
  if (indent == nullptr && args.positional.size() == 1 && ascii->is_int()) std::swap(ascii, indent);
  if (indent != nullptr && indent->is_int())
    style.indent = static_cast<int>(std::clamp<int64_t>(indent->as_int(), 0, 64));
  style.ascii = ascii != nullptr && ascii->truthy();
  style.item_separator = style.indent >= 0 ? "," : ", ";
  style.key_separator = ": ";
  if (const Value* separators = args.find(2, "separators");
      separators != nullptr && separators->is_list() && separators->items().size() == 2) {
    style.item_separator = to_text(in, separators->items()[0], args.line).bytes();
    style.key_separator = to_text(in, separators->items()[1], args.line).bytes();
  }
  style.sort_keys = args.get(3, "sort_keys", Value(false)).truthy();
  return Value(to_json(in, operand, style, args.line));
}

Value filter_indent(Interpreter* in, const Value& operand, const Arguments& args) {
  const Value width = args.get(0, "width", Value(int64_t{4}));
  const bool first = args.get(1, "first", Value(false)).truthy();
  const bool blank = args.get(2, "blank", Value(false)).truthy();
  Text padding = width.is_int()
                     ? Text(std::string(static_cast<size_t>(std::clamp<int64_t>(width.as_int(), 0, kMaxIndent)), ' '))
                     : to_text(in, width, args.line);
  const Text text = to_text(in, operand, args.line);
  std::vector<Text> lines = split_lines(in, text, false, args.line);
  if (text.empty() || text.bytes().back() == '\n') lines.emplace_back();
  in->charge_bytes(text.size() + lines.size() * padding.size(), args.line);
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", false);
    if (i == 0 ? first : (blank || !lines[i].empty())) out.append(padding);
    out.append(lines[i]);
  }
  return Value(std::move(out));
}

Value filter_truncate(Interpreter* in, const Value& operand, const Arguments& args) {
  const Text text = to_text(in, operand, args.line);
  const Value length = args.get(0, "length", Value(int64_t{255}));
  const bool kill_words = args.get(1, "killwords", Value(false)).truthy();
  const Text end = to_text(in, args.get(2, "end", text_value("...")), args.line);
  const Value leeway = args.get(3, "leeway", Value(int64_t{5}));
  if (!length.is_int() || !leeway.is_int()) fail(args.line, "truncate: expected integers");
  in->charge_work(2 * text.size() + end.size(), args.line);
  const int64_t chars = static_cast<int64_t>(character_count(text.bytes()));
  const int64_t end_chars = static_cast<int64_t>(character_count(end.bytes()));
  const double limit = static_cast<double>(length.as_int()) + static_cast<double>(leeway.as_int());
  if (static_cast<double>(chars) <= limit) return Value(text);
  const int64_t keep = std::clamp<int64_t>(std::clamp<int64_t>(length.as_int(), 0, chars) - end_chars, 0, chars);
  in->charge_bytes(text.size() + end.size(), args.line);
  Text out = text.substr(0, character_begin(text.bytes(), static_cast<size_t>(keep)));
  if (!kill_words) {
    const size_t space = out.bytes().rfind(' ');
    if (space != std::string::npos) out = out.substr(0, space);
  }
  out.append(end);
  return Value(std::move(out));
}

Value filter_int(Interpreter* in, const Value& operand, const Arguments& args) {
  const Value fallback = args.get(0, "default", Value(int64_t{0}));
  double number = 0;
  if (operand.is_text()) {
    in->charge_work(2 * operand.text().size(), args.line);
    const std::string text = strip(operand.text(), nullptr, true, true).bytes();
    const char* begin = text.c_str() + (text.starts_with('+') ? 1 : 0);
    int64_t value = 0;
    const auto parsed = std::from_chars(begin, text.c_str() + text.size(), value);
    if (parsed.ec == std::errc() && parsed.ptr == text.c_str() + text.size()) return Value(value);
    char* end = nullptr;
    number = std::strtod(text.c_str(), &end);
    if (text.empty() || end != text.c_str() + text.size()) return fallback;
  } else if (operand.is_float()) {
    number = operand.as_double();
  } else {
    return operand.is_number() ? Value(operand.as_int()) : fallback;
  }
  if (!(std::abs(number) < 9e18)) return fallback;
  return Value(static_cast<int64_t>(number));
}

Value filter_float(Interpreter* in, const Value& operand, const Arguments& args) {
  if (operand.is_number()) return Value(operand.as_double());
  if (operand.is_text()) {
    in->charge_work(2 * operand.text().size(), args.line);
    const std::string text = strip(operand.text(), nullptr, true, true).bytes();
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && end == text.c_str() + text.size()) return Value(number);
  }
  return args.get(0, "default", Value(0.0));
}

Value filter_round(const Value& operand, const Arguments& args) {
  const Value precision = args.get(0, "precision", Value(int64_t{0}));
  const Value method = args.get(1, "method", text_value("common"));
  if (!operand.is_number() || !precision.is_int() || !method.is_text()) fail(args.line, "round: expected a number");
  const double scale = std::pow(10.0, static_cast<double>(std::clamp<int64_t>(precision.as_int(), -300, 300)));
  const double scaled = operand.as_double() * scale;
  const double rounded = method.text().bytes() == "ceil"    ? std::ceil(scaled)
                         : method.text().bytes() == "floor" ? std::floor(scaled)
                                                            : std::nearbyint(scaled);
  return Value(rounded / scale);
}

Value filter_abs(const Value& operand, int line) {
  if (operand.is_float()) return Value(std::abs(operand.as_double()));
  if (!operand.is_number()) fail(line, "abs: expected a number, found {}", operand.type_name());
  if (operand.as_int() == INT64_MIN) fail(line, "integer overflow");
  return Value(std::abs(operand.as_int()));
}

Value filter_escape(Interpreter* in, const Text& text, int line) {
  Text out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i];
    const char* name = c == '&'    ? "&amp;"
                       : c == '<'  ? "&lt;"
                       : c == '>'  ? "&gt;"
                       : c == '"'  ? "&#34;"
                       : c == '\'' ? "&#39;"
                                   : nullptr;
    if (name != nullptr) in->charge_bytes(4, line);
    out.append(name != nullptr ? std::string(name) : std::string(1, c), text.from_input(i));
  }
  return Value(std::move(out));
}

Value filter_replace(Interpreter* in, const Text& text, const Arguments& args) {
  const Text from = to_text(in, args.get(0, "old", text_value("")), args.line);
  const Text to = to_text(in, args.get(1, "new", text_value("")), args.line);
  const Value count = args.get(2, "count", Value(int64_t{-1}));
  in->charge_bytes(text.size(), args.line);
  // As many copies as there may be places.
  in->charge_bytes((text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size(), args.line);
  return Value(replace(text, from.bytes(), to, count.is_int() ? count.as_int() : -1));
}

}  // namespace

std::optional<Value> text_filter(Interpreter* in, const std::string& name, const Value& operand,
                                 const Arguments& args) {
  if (name == "tojson") return filter_tojson(in, operand, args);
  if (name == "int") return filter_int(in, operand, args);
  if (name == "float") return filter_float(in, operand, args);
  if (name == "round") return filter_round(operand, args);
  if (name == "abs") return filter_abs(operand, args.line);
  if (name == "indent") return filter_indent(in, operand, args);
  if (name == "truncate") return filter_truncate(in, operand, args);

  const bool known = name == "string" || name == "safe" || name == "trim" || name == "strip" || name == "upper" ||
                     name == "lower" || name == "title" || name == "capitalize" || name == "replace" ||
                     name == "wordcount" || name == "e" || name == "escape" || name == "forceescape";
  if (!known) return std::nullopt;
  const Text text = to_text(in, operand, args.line);
  in->charge_bytes(text.size() * 2, args.line);
  if (name == "string" || name == "safe") return Value(text);
  if (name == "trim" || name == "strip") {
    const Value* chars = args.find(0, "chars");
    if (chars != nullptr && chars->is_text()) in->charge_bytes(chars->text().size() * kValueBytes, args.line);
    return Value(strip(text, chars != nullptr && chars->is_text() ? &chars->text() : nullptr, true, true));
  }
  if (name == "upper") return Value(change_case(text, LetterCase::kUpper));
  if (name == "lower") return Value(change_case(text, LetterCase::kLower));
  if (name == "title") return Value(change_case(text, LetterCase::kTitle));
  if (name == "capitalize") return Value(change_case(text, LetterCase::kCapitalize));
  if (name == "replace") return filter_replace(in, text, args);
  if (name == "wordcount") return Value(static_cast<int64_t>(word_count(text)));
  return filter_escape(in, text, args.line);
}

}  // namespace tessera::jinja
