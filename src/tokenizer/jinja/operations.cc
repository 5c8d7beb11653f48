#include "tokenizer/jinja/operations.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/text_operations.h"
#include "tokenizer/utf8.h"

namespace tessera::jinja {
namespace {

constexpr int kMaxValueDepth = 200;

Value checked(bool overflow, const int64_t& value, int line) {
  if (overflow) fail(line, "integer overflow");
  return Value(value);
}

Value integer_power(int64_t base, int64_t exponent, int line) {
  if (exponent < 0) return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  if (base == 0 || base == 1) return Value(exponent == 0 ? int64_t{1} : base);
  if (base == -1) return Value(exponent % 2 == 0 ? int64_t{1} : int64_t{-1});
  int64_t out = 1;
  for (int64_t i = 0; i < exponent; ++i) checked(__builtin_mul_overflow(out, base, &out), out, line);
  return Value(out);
}

Value integer_operation(const std::string& op, int64_t a, int64_t b, int line) {
  int64_t out = 0;
  if (op == "+") return checked(__builtin_add_overflow(a, b, &out), out, line);
  if (op == "-") return checked(__builtin_sub_overflow(a, b, &out), out, line);
  if (op == "*") return checked(__builtin_mul_overflow(a, b, &out), out, line);
  if (op == "**") return integer_power(a, b, line);
  if (b == 0) fail(line, "division by zero");
  if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) return op == "%" ? Value(int64_t{0}) : checked(__builtin_sub_overflow(int64_t{0}, a, &out), out, line);
  // Python rounds towards minus infinity.
  const bool round_down = a % b != 0 && (a % b < 0) != (b < 0);
  return Value(op == "%" ? a % b + (round_down ? b : 0) : a / b - (round_down ? 1 : 0));
}

Value float_operation(const std::string& op, double a, double b, int line) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) fail(line, "division by zero");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  return Value(a - b * std::floor(a / b));
}

Value joined(Interpreter* in, const Text& left, const Text& right, int line) {
  in->charge_bytes(left.size() + right.size(), line);
  Text out = left;
  out.append(right);
  return Value(std::move(out));
}

Value repeated(Interpreter* in, const Value& value, int64_t times, int line) {
  times = std::max<int64_t>(times, 0);
  const uint64_t size = value.is_text() ? value.text().size() : value.items().size() * kValueBytes;
  if (size > 0 && static_cast<uint64_t>(times) > (uint64_t{1} << 40) / size) fail(line, "repeated too often");
  in->charge_bytes(size * static_cast<uint64_t>(times), line);
  if (value.is_text()) {
    Text out;
    for (int64_t i = 0; i < times && size > 0; ++i) out.append(value.text());
    return Value(std::move(out));
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < times && size > 0; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return in->make_list(std::move(items));
}

Value arithmetic(Interpreter* in, const std::string& op, const Value& left, const Value& right, int line) {
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) return float_operation(op, left.as_double(), right.as_double(), line);
    return integer_operation(op, left.as_int(), right.as_int(), line);
  }
  if (op == "+" && left.is_text() && right.is_text()) return joined(in, left.text(), right.text(), line);
  if (op == "+" && left.is_list() && right.is_list()) {
    std::vector<Value> items = left.items();
    items.insert(items.end(), right.items().begin(), right.items().end());
    return in->make_list(std::move(items));
  }
  if (op == "*" && (left.is_text() || left.is_list()) && right.is_int())
    return repeated(in, left, right.as_int(), line);
  if (op == "*" && (right.is_text() || right.is_list()) && left.is_int())
    return repeated(in, right, left.as_int(), line);
  for (const Value* side : {&left, &right}) {
    if (side->is_undefined()) fail(line, "'{}' is undefined", side->undefined_name());
  }
  fail(line, "cannot compute {} {} {}", left.type_name(), op, right.type_name());
}

}  // namespace

Value binary_operation(Interpreter* in, const std::string& op, const Value& left, const Value& right, int line) {
  if (op == "==") return Value(equal(in, left, right));
  if (op == "!=") return Value(!equal(in, left, right));
  if (op == "in") return Value(contains(in, right, left, line));
  if (op == "not in") return Value(!contains(in, right, left, line));
  if (op == "<") return Value(compare(in, left, right, line) < 0);
  if (op == ">") return Value(compare(in, left, right, line) > 0);
  if (op == "<=") return Value(compare(in, left, right, line) <= 0);
  if (op == ">=") return Value(compare(in, left, right, line) >= 0);
  if (op == "~") return joined(in, to_text(in, left, line), to_text(in, right, line), line);
  return arithmetic(in, op, left, right, line);
}

bool equal(Interpreter* in, const Value& left, const Value& right, int depth) {
  in->charge_steps(1, 0);
  if (depth > kMaxValueDepth) return false;
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) return left.as_double() == right.as_double();
    return left.as_int() == right.as_int();
  }
  if (left.is_text() && right.is_text()) {
    if (left.text().size() != right.text().size()) return false;
    in->charge_work(left.text().size(), 0);
    return left.text().bytes() == right.text().bytes();
  }
  if (left.is_list() && right.is_list()) {
    const auto &a = left.items(), &b = right.items();
    if (&a == &b) return true;
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [in, depth](const Value& x, const Value& y) { return equal(in, x, y, depth + 1); });
  }
  if (left.is_dict() && right.is_dict()) {
    if (left.same_object(right)) return true;
    if (left.dict().items().size() != right.dict().items().size()) return false;
    for (const auto& [key, value] : left.dict().items()) {
      const Value* other = in->find_item(right.dict(), key, 0);
      if (other == nullptr || !equal(in, value, *other, depth + 1)) return false;
    }
    return true;
  }
  if (left.is_undefined() || left.is_none()) return left.type_name() == right.type_name();
  return left.same_object(right);
}

int compare(Interpreter* in, const Value& left, const Value& right, int line, int depth) {
  in->charge_steps(1, line);
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) {
      const double a = left.as_double(), b = right.as_double();
      return a < b ? -1 : a > b;
    }
    return left.as_int() < right.as_int() ? -1 : left.as_int() > right.as_int();
  }
  if (left.is_text() && right.is_text()) {
    in->charge_work(std::min(left.text().size(), right.text().size()), line);
    return left.text().bytes().compare(right.text().bytes());
  }
  if (left.is_list() && right.is_list() && depth < kMaxValueDepth) {
    const auto &a = left.items(), &b = right.items();
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      const int order = compare(in, a[i], b[i], line, depth + 1);
      if (order != 0) return order;
    }
    return a.size() < b.size() ? -1 : a.size() > b.size();
  }
  fail(line, "cannot compare {} with {}", left.type_name(), right.type_name());
}

bool contains(Interpreter* in, const Value& container, const Value& item, int line) {
  if (container.is_text()) {
    if (!item.is_text()) fail(line, "'in' a string: expected a string, found {}", item.type_name());
    in->charge_work(container.text().size(), line);
    return find_text(container.text().bytes(), item.text().bytes()) != std::string::npos;
  }
  if (container.is_dict()) return in->find_item(container.dict(), item, line) != nullptr;
  if (container.is_list()) {
    return std::any_of(container.items().begin(), container.items().end(),
                       [&](const Value& other) { return equal(in, other, item); });
  }
  if (container.is_undefined()) return false;
  fail(line, "cannot look into {}", container.type_name());
}

size_t character_count(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i += decode_utf8(text, i).bytes) ++count;
  return count;
}

size_t character_begin(std::string_view text, size_t number) {
  size_t begin = 0;
  while (number-- > 0 && begin < text.size()) begin += decode_utf8(text, begin).bytes;
  return begin;
}

namespace {

Value sliced_characters(Interpreter* in, const Value& text, const Value& start, const Value& stop, const Value& step,
                        int line) {
  const Value characters = in->make_list(in->iterate(text, line));
  const Value chosen = slice(in, characters, start, stop, step, line);
  Text out;
  for (const Value& character : chosen.items()) out.append(character.text());
  return Value(std::move(out));
}

}  // namespace

Value slice(Interpreter* in, const Value& value, const Value& start, const Value& stop, const Value& step, int line) {
  if (value.is_undefined()) fail(line, "'{}' is undefined (asked for a slice)", value.undefined_name());
  if (!value.is_text() && !value.is_list()) fail(line, "cannot slice {}", value.type_name());
  for (const Value* part : {&start, &stop, &step}) {
    if (!part->is_none() && !part->is_int()) fail(line, "slice: expected an integer, found {}", part->type_name());
  }
  in->charge_bytes(value.is_text() ? value.text().size() : value.items().size() * 8, line);
  const int64_t by = step.is_none() ? 1 : step.as_int();
  // Only steps other than 1 go through a list of the characters.
  if (value.is_text() && by != 1) return sliced_characters(in, value, start, stop, step, line);
  const std::string_view bytes = value.is_text() ? std::string_view(value.text().bytes()) : std::string_view();
  const int64_t size = static_cast<int64_t>(value.is_text() ? character_count(bytes) : value.items().size());
  if (by == 0) fail(line, "slice: the step is zero");
  const auto bound = [&](const Value& part, int64_t fallback) {
    if (part.is_none()) return fallback;
    const int64_t i = part.as_int() < 0 ? part.as_int() + size : part.as_int();
    return by > 0 ? std::clamp<int64_t>(i, 0, size) : std::clamp<int64_t>(i, -1, size - 1);
  };
  const int64_t first = bound(start, by > 0 ? 0 : size - 1);
  const int64_t last = bound(stop, by > 0 ? size : -1);
  if (value.is_text()) {
    if (first >= last) return Value(Text());
    const size_t begin = character_begin(bytes, static_cast<size_t>(first));
    const size_t end = begin + character_begin(bytes.substr(begin), static_cast<size_t>(last - first));
    return Value(value.text().substr(begin, end - begin));
  }
  std::vector<Value> items;
  for (int64_t i = first; by > 0 ? i < last : i > last;) {
    items.push_back(value.items()[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  return in->make_list(std::move(items));
}

}  // namespace tessera::jinja
