// Values as text: Python's str() and repr(), and json.dumps() as transformers calls it.
#include <algorithm>
#include <cmath>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/utf8.h"

namespace tessera::jinja {
namespace {

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

void append_scalar(const Value& value, Text* out) {
  if (value.is_none())
    out->append("None", false);
  else if (value.is_bool())
    out->append(value.as_bool() ? "True" : "False", false);
  else if (value.is_int())
    out->append(fmt::format("{}", value.as_int()), false);
  else if (value.is_float())
    out->append(float_text(value.as_double()), false);
  else if (value.is_function())
    out->append(fmt::format("<function {}>", value.function()->name), false);
}

void append_quoted(const Text& text, Text* out) {
  const bool double_quotes =
      text.bytes().find('\'') != std::string::npos && text.bytes().find('"') == std::string::npos;
  const char quote = double_quotes ? '"' : '\'';
  out->append(std::string(1, quote), false);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i];
    const bool mark = text.from_input(i);
    if (c == '\n')
      out->append("\\n", mark);
    else if (c == '\r')
      out->append("\\r", mark);
    else if (c == '\t')
      out->append("\\t", mark);
    else if (c == '\\' || c == quote)
      out->append(std::string{'\\', c}, mark);
    else
      out->append(std::string(1, c), mark);
  }
  out->append(std::string(1, quote), false);
}

void append_repr(Interpreter* in, const Value& value, int line, Text* out) {
  const Interpreter::Deeper deeper(in, line);
  in->charge_steps(1, line);
  if (value.is_text()) {
    in->charge_bytes(value.text().size(), line);
    append_quoted(value.text(), out);
  } else if (value.is_list()) {
    const bool tuple = value.is_tuple();
    out->append(tuple ? "(" : "[", false);
    for (size_t i = 0; i < value.items().size(); ++i) {
      if (i > 0) out->append(", ", false);
      append_repr(in, value.items()[i], line, out);
    }
    out->append(!tuple ? "]" : value.items().size() == 1 ? ",)" : ")", false);
  } else if (value.is_dict()) {
    out->append("{", false);
    bool first = true;
    for (const auto& [key, item] : value.dict().items()) {
      if (!std::exchange(first, false)) out->append(", ", false);
      append_repr(in, key, line, out);
      out->append(": ", false);
      append_repr(in, item, line, out);
    }
    out->append("}", false);
  } else {
    if (value.is_function()) in->charge_bytes(value.function()->name.size(), line);
    append_scalar(value, out);
  }
}

class JsonWriter {
 public:
  JsonWriter(Interpreter* in, const JsonStyle& style, int line) : in_(in), style_(style), line_(line) {}

  Text write(const Value& value) {
    append(value, 0);
    return std::move(out_);
  }

 private:
  void plain(std::string_view text) {
    in_->charge_bytes(text.size(), line_);
    out_.append(text, false);
  }

  void new_line(int depth) {
    if (style_.indent < 0) return;
    const size_t spaces = static_cast<size_t>(style_.indent) * static_cast<size_t>(depth);
    plain("\n" + std::string(spaces, ' '));
  }

  void append(const Value& value, int depth) {
    const Interpreter::Deeper deeper(in_, line_);
    in_->charge_steps(1, line_);
    if (value.is_text()) {
      quoted(value.text());
    } else if (value.is_list()) {
      append_list(value.items(), depth);
    } else if (value.is_dict()) {
      append_dict(value.dict(), depth);
    } else if (value.is_bool()) {
      plain(value.as_bool() ? "true" : "false");
    } else if (value.is_none()) {
      plain("null");
    } else if (value.is_float()) {
      const double number = value.as_double();
      plain(std::isnan(number)   ? "NaN"
            : std::isinf(number) ? (number > 0 ? "Infinity" : "-Infinity")
                                 : float_text(number));
    } else if (value.is_int()) {
      append_scalar(value, &out_);
    } else {
      fail(line_, "tojson: {} has no JSON form", value.type_name());
    }
  }

  void append_list(const std::vector<Value>& items, int depth) {
    if (items.empty()) return plain("[]");
    plain("[");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) plain(style_.item_separator);
      new_line(depth + 1);
      append(items[i], depth + 1);
    }
    new_line(depth);
    plain("]");
  }

  void append_dict(Dict& dict, int depth) {
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items()) items.push_back(&item);
    if (items.empty()) return plain("{}");
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [&](const auto* a, const auto* b) { return compare(in_, a->first, b->first, line_) < 0; });
    }
    plain("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) plain(style_.item_separator);
      new_line(depth + 1);
      if (items[i]->first.is_text()) {
        quoted(items[i]->first.text());
      } else {
        plain("\"");
        append(items[i]->first, depth + 1);
        plain("\"");
      }
      plain(style_.key_separator);
      append(items[i]->second, depth + 1);
    }
    new_line(depth);
    plain("}");
  }

  // One character, which the charge for its text paid for if it has one byte.
  void longer(std::string_view text, bool mark) {
    if (text.size() > 1) in_->charge_bytes(text.size() - 1, line_);
    out_.append(text, mark);
  }

  void quoted(const Text& text) {
    in_->charge_bytes(text.size(), line_);
    plain("\"");
    const std::string& bytes = text.bytes();
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = decode_utf8(bytes, i);
      const bool mark = text.from_input(i);
      if (!c.valid) {
        longer("\xef\xbf\xbd", mark);
      } else if (c.code_point < 0x80) {
        longer(escaped(bytes[i]), mark);
      } else if (style_.ascii) {
        longer(escaped_code(c.code_point), mark);
      } else {
        out_.append(text.substr(i, c.bytes));
      }
      i += c.bytes;
    }
    plain("\"");
  }

  static std::string escaped(char c) {
    switch (c) {
      case '"': return "\\\"";
      case '\\': return "\\\\";
      case '\n': return "\\n";
      case '\r': return "\\r";
      case '\t': return "\\t";
      case '\b': return "\\b";
      case '\f': return "\\f";
      default: return static_cast<uint8_t>(c) < 0x20 ? escaped_code(static_cast<char32_t>(c)) : std::string(1, c);
    }
  }

  static std::string escaped_code(char32_t c) {
    const auto unit = [](uint32_t code) { return fmt::format("\\u{:04x}", code); };
    if (c < 0x10000) return unit(c);
    return unit(0xd800 + ((c - 0x10000) >> 10)) + unit(0xdc00 + ((c - 0x10000) & 0x3ff));
  }

  Interpreter* in_;
  const JsonStyle& style_;
  int line_;
  Text out_;
};

}  // namespace

Text to_text(Interpreter* in, const Value& value, int line) {
  if (value.is_text()) {
    in->charge_work(value.text().size(), line);
    return value.text();
  }
  if (value.is_undefined()) return Text();
  return to_repr(in, value, line);
}

Text to_repr(Interpreter* in, const Value& value, int line) {
  Text out;
  append_repr(in, value, line, &out);
  in->charge_bytes(out.size(), line);
  return out;
}

Text to_json(Interpreter* in, const Value& value, const JsonStyle& style, int line) {
  return JsonWriter(in, style, line).write(value);
}

}  // namespace tessera::jinja
