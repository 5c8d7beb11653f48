// Filters on sequences and mappings, and the dispatch of all filters.
#include <algorithm>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text_operations.h"

namespace tessera::jinja {
namespace {

// Longer than the name of any filter or test.
constexpr size_t kMaxNameBytes = 100;

// "a.b.0" looked up part by part, as map(attribute=...) and sort(attribute=...) do.
Value attribute_path(Interpreter* in, Value value, const Value& path, int line) {
  if (!path.is_text()) return in->index(value, path, line);
  const Text dot(".");
  for (const Text& part : split(in, path.text(), &dot, -1, false, line)) {
    const bool digits = !part.empty() && part.bytes().find_first_not_of("0123456789") == std::string::npos;
    value = digits && part.size() < 9 ? in->index(value, Value(static_cast<int64_t>(std::stoi(part.bytes()))), line)
                                      : in->index(value, Value(part), line);
    if (value.is_undefined()) break;
  }
  return value;
}

Value filter_join(Interpreter* in, const Value& operand, const Arguments& args) {
  const Text separator = to_text(in, args.get(0, "d", text_value("")), args.line);
  const Value* path = args.find(1, "attribute");
  Text out;
  bool first = true;
  for (const Value& item : in->iterate(operand, args.line)) {
    if (!std::exchange(first, false)) out.append(separator);
    const Text text = to_text(in, path != nullptr ? attribute_path(in, item, *path, args.line) : item, args.line);
    in->charge_bytes(text.size() + separator.size(), args.line);
    out.append(text);
  }
  return Value(std::move(out));
}

Value filter_map(Interpreter* in, const Value& operand, const Arguments& args) {
  std::vector<Value> out;
  const Value* path = args.find(args.positional.size(), "attribute");
  Arguments rest;
  rest.line = args.line;
  std::string name;
  if (path == nullptr) {
    if (args.positional.empty() || !args.positional[0].is_text()) fail(args.line, "map: expected the name of a filter");
    name = args.positional[0].text().bytes().substr(0, kMaxNameBytes);
    rest.positional.assign(args.positional.begin() + 1, args.positional.end());
    rest.named = args.named;
  }
  const Value fallback = args.get(args.positional.size(), "default", Value(Undefined{"map"}));
  for (const Value& item : in->iterate(operand, args.line)) {
    Value value = path != nullptr ? attribute_path(in, item, *path, args.line) : in->apply_filter(name, item, rest);
    out.push_back(path != nullptr && value.is_undefined() ? fallback : std::move(value));
  }
  return in->make_list(std::move(out));
}

// select, reject: a test on the item; selectattr, rejectattr: on an attribute of it.
Value filter_select(Interpreter* in, const Value& operand, const Arguments& args, bool keep, bool by_attribute) {
  const size_t first = by_attribute ? 1 : 0;
  if (args.positional.size() < first) fail(args.line, "expected the name of an attribute");
  Arguments rest;
  rest.line = args.line;
  std::string test;
  if (args.positional.size() > first) {
    if (!args.positional[first].is_text()) fail(args.line, "expected the name of a test");
    test = args.positional[first].text().bytes().substr(0, kMaxNameBytes);
    rest.positional.assign(args.positional.begin() + static_cast<ptrdiff_t>(first) + 1, args.positional.end());
  }
  std::vector<Value> out;
  for (const Value& item : in->iterate(operand, args.line)) {
    const Value value = by_attribute ? attribute_path(in, item, args.positional[0], args.line) : item;
    const bool passed = test.empty() ? value.truthy() : in->apply_test(test, value, rest);
    if (passed == keep) out.push_back(item);
  }
  return in->make_list(std::move(out));
}

// Text compares without regard to case unless told otherwise.
Value sort_key(Interpreter* in, const Value& value, bool case_sensitive, int line) {
  if (!value.is_text() || case_sensitive) return value;
  in->charge_bytes(2 * value.text().size(), line);
  return Value(change_case(value.text(), LetterCase::kLower));
}

// The second of each pair in the order of the first.
std::vector<Value> sorted(Interpreter* in, std::vector<std::pair<Value, Value>> keyed, bool reverse, int line) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    const int order = compare(in, a.first, b.first, line);
    return reverse ? order > 0 : order < 0;
  });
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return out;
}

Value filter_sort(Interpreter* in, const Value& operand, const Arguments& args) {
  const bool reverse = args.get(0, "reverse", Value(false)).truthy();
  const bool case_sensitive = args.get(1, "case_sensitive", Value(false)).truthy();
  const Value* path = args.find(2, "attribute");
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : in->iterate(operand, args.line)) {
    const Value key = path != nullptr ? attribute_path(in, item, *path, args.line) : item;
    keyed.emplace_back(sort_key(in, key, case_sensitive, args.line), item);
  }
  return in->make_list(sorted(in, std::move(keyed), reverse, args.line));
}

Value filter_dictsort(Interpreter* in, const Value& operand, const Arguments& args) {
  if (!operand.is_dict()) fail(args.line, "dictsort: expected a mapping, found {}", operand.type_name());
  const bool case_sensitive = args.get(0, "case_sensitive", Value(false)).truthy();
  const Value by = args.get(1, "by", text_value("key"));
  const bool by_value = by.is_text() && by.text().bytes() == "value";
  const bool reverse = args.get(2, "reverse", Value(false)).truthy();
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : operand.dict().items()) {
    keyed.emplace_back(sort_key(in, by_value ? value : key, case_sensitive, args.line),
                       in->make_list({key, value}, true));
  }
  return in->make_list(sorted(in, std::move(keyed), reverse, args.line));
}

Value filter_extreme(Interpreter* in, const Value& operand, const Arguments& args, bool largest) {
  const bool case_sensitive = args.get(0, "case_sensitive", Value(false)).truthy();
  const Value* path = args.find(1, "attribute");
  Value best(Undefined{"the extreme of an empty sequence"});
  Value best_key;
  for (const Value& item : in->iterate(operand, args.line)) {
    const Value key = sort_key(in, path != nullptr ? attribute_path(in, item, *path, args.line) : item, case_sensitive,
                               args.line);
    const bool better = best.is_undefined() || (largest ? compare(in, key, best_key, args.line) > 0
                                                        : compare(in, key, best_key, args.line) < 0);
    if (!better) continue;
    best = item;
    best_key = key;
  }
  return best;
}

Value filter_sum(Interpreter* in, const Value& operand, const Arguments& args) {
  const Value* path = args.find(0, "attribute");
  Value total = args.get(1, "start", Value(int64_t{0}));
  for (const Value& item : in->iterate(operand, args.line)) {
    total = binary_operation(in, "+", total, path != nullptr ? attribute_path(in, item, *path, args.line) : item,
                             args.line);
  }
  return total;
}

Value filter_unique(Interpreter* in, const Value& operand, const Arguments& args) {
  const bool case_sensitive = args.get(0, "case_sensitive", Value(false)).truthy();
  const Value* path = args.find(1, "attribute");
  std::vector<Value> out, keys;
  for (const Value& item : in->iterate(operand, args.line)) {
    const Value key = sort_key(in, path != nullptr ? attribute_path(in, item, *path, args.line) : item, case_sensitive,
                               args.line);
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& other) { return equal(in, key, other); })) continue;
    keys.push_back(key);
    out.push_back(item);
  }
  return in->make_list(std::move(out));
}

// batch: rows of `size`; slice: `size` columns, the first ones longer.
Value filter_groups(Interpreter* in, const Value& operand, const Arguments& args, bool columns) {
  const Value size = args.get(0, columns ? "slices" : "linecount", Value(int64_t{0}));
  if (!size.is_int() || size.as_int() < 1 || size.as_int() > 100000) fail(args.line, "expected a count of 1 to 100000");
  const Value* fill = args.find(1, "fill_with");
  const std::vector<Value> items = in->iterate(operand, args.line);
  const size_t count = static_cast<size_t>(size.as_int());
  std::vector<Value> out;
  size_t begin = 0;
  for (size_t row = 0; columns ? row < count : begin < items.size(); ++row) {
    const size_t length = columns ? items.size() / count + (row < items.size() % count) : count;
    const size_t end = std::min(begin + length, items.size());
    std::vector<Value> group(items.begin() + static_cast<ptrdiff_t>(begin),
                             items.begin() + static_cast<ptrdiff_t>(end));
    const bool is_short = columns ? row >= items.size() % count && items.size() % count != 0 : group.size() < count;
    if (fill != nullptr && is_short) group.resize(columns ? group.size() + 1 : count, *fill);
    begin = end;
    out.push_back(in->make_list(std::move(group)));
  }
  return in->make_list(std::move(out));
}

Value filter_reverse(Interpreter* in, const Value& operand, const Arguments& args) {
  std::vector<Value> items = in->iterate(operand, args.line);
  std::reverse(items.begin(), items.end());
  if (!operand.is_text()) return in->make_list(std::move(items));
  Text out;
  for (const Value& item : items) out.append(item.text());
  return Value(std::move(out));
}

Value filter_length(Interpreter* in, const Value& operand, int line) {
  if (operand.is_text()) {
    in->charge_work(operand.text().size(), line);
    return Value(static_cast<int64_t>(character_count(operand.text().bytes())));
  }
  if (operand.is_list()) return Value(static_cast<int64_t>(operand.items().size()));
  if (operand.is_dict()) return Value(static_cast<int64_t>(operand.dict().items().size()));
  if (operand.is_undefined()) return Value(int64_t{0});
  fail(line, "length: {} has no length", operand.type_name());
}

Value first_or_last(Interpreter* in, const Value& operand, const Arguments& args, bool first) {
  std::vector<Value> items = in->iterate(operand, args.line);
  if (items.empty()) return Value(Undefined{"an element of an empty sequence"});
  return first ? std::move(items.front()) : std::move(items.back());
}

Value filter_default(const Value& operand, const Arguments& args) {
  const bool also_false = args.get(1, "boolean", Value(false)).truthy();
  const bool missing = operand.is_undefined() || (also_false && !operand.truthy());
  return missing ? args.get(0, "default_value", text_value("")) : operand;
}

}  // namespace

std::optional<Value> sequence_filter(Interpreter* in, const std::string& name, const Value& operand,
                                     const Arguments& args) {
  if (name == "default" || name == "d") return filter_default(operand, args);
  if (name == "length" || name == "count") return filter_length(in, operand, args.line);
  if (name == "join") return filter_join(in, operand, args);
  if (name == "map") return filter_map(in, operand, args);
  if (name == "select") return filter_select(in, operand, args, true, false);
  if (name == "reject") return filter_select(in, operand, args, false, false);
  if (name == "selectattr") return filter_select(in, operand, args, true, true);
  if (name == "rejectattr") return filter_select(in, operand, args, false, true);
  if (name == "list") return in->make_list(in->iterate(operand, args.line));
  if (name == "first") return first_or_last(in, operand, args, true);
  if (name == "last") return first_or_last(in, operand, args, false);
  if (name == "sort") return filter_sort(in, operand, args);
  if (name == "dictsort") return filter_dictsort(in, operand, args);
  if (name == "unique") return filter_unique(in, operand, args);
  if (name == "min") return filter_extreme(in, operand, args, false);
  if (name == "max") return filter_extreme(in, operand, args, true);
  if (name == "sum") return filter_sum(in, operand, args);
  if (name == "reverse") return filter_reverse(in, operand, args);
  if (name == "batch") return filter_groups(in, operand, args, false);
  if (name == "slice") return filter_groups(in, operand, args, true);
  if (name == "attr") return in->index(operand, args.get(0, "name", Value()), args.line);
  if (name == "items" || name == "keys" || name == "values") {
    if (operand.is_undefined()) return in->make_list({});
    return call_method(in, operand, name, args);
  }
  return std::nullopt;
}

Value Interpreter::apply_filter(const std::string& name, const Value& operand, const Arguments& args) {
  const Deeper deeper(this, args.line);
  charge_steps(1, args.line);
  if (auto value = sequence_filter(this, name, operand, args)) return *std::move(value);
  if (auto value = text_filter(this, name, operand, args)) return *std::move(value);
  fail(args.line, "no filter named '{}'", name.substr(0, 40));
}

}  // namespace tessera::jinja
