// Methods of lists, mappings and loops, and the global functions. Methods of strings: text_methods.cc.
#include <algorithm>
#include <ctime>
#include <span>

#include "tokenizer/jinja/error.h"
#include "tokenizer/jinja/operations.h"
#include "tokenizer/jinja/text_operations.h"

namespace tessera::jinja {
namespace {

constexpr std::string_view kListMethods[] = {"append", "extend", "insert", "pop", "index", "count", "reverse", "copy"};
constexpr std::string_view kDictMethods[] = {"get", "items", "keys", "values", "pop", "update", "setdefault", "copy"};
constexpr std::string_view kTextMethods[] = {
    "strip",   "lstrip",  "rstrip",     "split",   "rsplit",  "splitlines", "startswith",   "endswith",    "upper",
    "lower",   "title",   "capitalize", "replace", "find",    "rfind",      "index",        "count",       "join",
    "isdigit", "isalpha", "isalnum",    "isspace", "isupper", "islower",    "removeprefix", "removesuffix"};
constexpr std::string_view kGlobals[] = {"range", "namespace", "dict", "raise_exception", "strftime_now"};
constexpr int64_t kMaxRange = 100000;

bool is_one_of(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

size_t list_position(const std::vector<Value>& items, const Value& index, int line) {
  const int64_t size = static_cast<int64_t>(items.size());
  const int64_t i = index.is_int() ? (index.as_int() < 0 ? index.as_int() + size : index.as_int()) : -1;
  if (i < 0 || i >= size) fail(line, "index out of range");
  return static_cast<size_t>(i);
}

Value list_method(Interpreter* in, const Value& object, const std::string& name, const Arguments& args) {
  std::vector<Value>& items = object.items();
  if (name == "copy") return in->make_list(items);
  if (name == "reverse") {
    std::reverse(items.begin(), items.end());
    return Value();
  }
  if (name == "pop") {
    const size_t at = list_position(items, args.get(0, "index", Value(int64_t{-1})), args.line);
    Value value = items[at];
    items.erase(items.begin() + static_cast<ptrdiff_t>(at));
    in->charge_steps(items.size() / 64, args.line);
    return value;
  }
  if (args.positional.empty()) fail(args.line, "{}: expected an argument", name);
  const Value& first = args.positional[0];
  in->charge_bytes(kValueBytes, args.line);
  if (name == "append") {
    items.push_back(first);
  } else if (name == "extend") {
    const std::vector<Value> more = in->iterate(first, args.line);
    items.insert(items.end(), more.begin(), more.end());
  } else if (name == "insert") {
    const int64_t size = static_cast<int64_t>(items.size());
    if (args.positional.size() < 2 || !first.is_int()) fail(args.line, "insert: expected an index and a value");
    const int64_t i = first.as_int() < 0 ? std::max<int64_t>(first.as_int() + size, 0) : std::min(first.as_int(), size);
    items.insert(items.begin() + i, args.positional[1]);
    in->charge_steps(items.size() / 64, args.line);
  } else {  // index, count
    int64_t count = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      if (!equal(in, items[i], first)) continue;
      if (name == "index") return Value(static_cast<int64_t>(i));
      ++count;
    }
    if (name == "index") fail(args.line, "index: the list has no such element");
    return Value(count);
  }
  return Value();
}

Value dict_view(Interpreter* in, Dict& dict, const std::string& name, int line) {
  in->charge_bytes(kValueBytes * dict.items().size(), line);
  std::vector<Value> out;
  for (const auto& [key, value] : dict.items()) {
    if (name == "items")
      out.push_back(in->make_list({key, value}, true));
    else
      out.push_back(name == "keys" ? key : value);
  }
  return in->make_list(std::move(out));
}

Value dict_method(Interpreter* in, const Value& object, const std::string& name, const Arguments& args) {
  Dict& dict = object.dict();
  if (name == "items" || name == "keys" || name == "values") return dict_view(in, dict, name, args.line);
  if (name == "copy") {
    const auto copy = in->make_dict();
    for (const auto& [key, value] : dict.items()) in->set_item(*copy, key, value, args.line);
    return Value(copy);
  }
  if (name == "update") {
    for (const auto& [key, value] : args.named) in->set_item(dict, text_value(key), value, args.line);
    if (!args.positional.empty() && args.positional[0].is_dict()) {
      in->charge_bytes(kValueBytes * args.positional[0].dict().items().size(), args.line);
      const auto items = args.positional[0].dict().items();
      for (const auto& [key, value] : items) in->set_item(dict, key, value, args.line);
    }
    return Value();
  }
  if (args.positional.empty()) fail(args.line, "{}: expected a key", name);
  const Value key = args.positional[0];
  if (const Value* found = in->find_item(dict, key, args.line)) {
    Value value = *found;
    if (name == "pop") {
      dict.erase(key);
      in->charge_steps(dict.items().size(), args.line);
    }
    return value;
  }
  Value fallback = args.get(1, "default", Value());
  if (name == "pop" && args.positional.size() < 2) fail(args.line, "pop: the mapping has no such key");
  if (name == "setdefault") {
    in->set_item(dict, key, fallback, args.line);
  }
  return fallback;
}

Value loop_method(const Value& loop, const std::string& name, const Arguments& args) {
  const int64_t index = loop.dict().find(text_value("index0"))->as_int();
  if (name == "cycle") {
    if (args.positional.empty()) fail(args.line, "cycle: expected values");
    return args.positional[static_cast<size_t>(index) % args.positional.size()];
  }
  fail(args.line, "loop has no method '{}'", name);
}

Value make_range(Interpreter* in, const Arguments& args) {
  int64_t bounds[3] = {0, 0, 1};
  const size_t count = args.positional.size();
  if (count < 1 || count > 3) fail(args.line, "range: expected 1 to 3 integers");
  for (size_t i = 0; i < count; ++i) {
    if (!args.positional[i].is_int())
      fail(args.line, "range: expected integers, found {}", args.positional[i].type_name());
    bounds[count == 1 ? 1 : i] = args.positional[i].as_int();
  }
  const auto [begin, end, step] = bounds;
  if (step == 0) fail(args.line, "range: the step is zero");
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange) fail(args.line, "range: more than {} values", kMaxRange);
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return in->make_list(std::move(items));
}

Value make_mapping(Interpreter* in, const Arguments& args, Dict::Kind kind) {
  const auto dict = in->make_dict();
  dict->kind = kind;
  for (const Value& source : args.positional) {
    if (!source.is_dict()) fail(args.line, "expected a mapping, found {}", source.type_name());
    for (const auto& [key, value] : source.dict().items()) in->set_item(*dict, key, value, args.line);
  }
  for (const auto& [name, value] : args.named) in->set_item(*dict, text_value(name), value, args.line);
  return Value(dict);
}

Value format_now(Interpreter* in, const Arguments& args) {
  const Value format = args.get(0, "format", text_value("%Y-%m-%d"));
  if (!format.is_text() || format.text().size() > 200) fail(args.line, "strftime_now: expected a short format");
  std::tm parts{};
  const std::time_t now = in->now();
  localtime_r(&now, &parts);
  // Specifiers with a field width could make any length; the buffer bounds them.
  char buffer[1024];
  const size_t size = std::strftime(buffer, sizeof buffer, format.text().bytes().c_str(), &parts);
  return text_value(std::string(buffer, size));
}

}  // namespace

bool has_method(const Value& object, std::string_view name) {
  if (object.is_text()) return is_one_of(kTextMethods, name);
  if (object.is_list()) return is_one_of(kListMethods, name);
  if (!object.is_dict()) return false;
  if (object.dict().kind == Dict::Kind::kLoop) return name == "cycle";
  return object.dict().kind == Dict::Kind::kPlain && is_one_of(kDictMethods, name);
}

Value call_method(Interpreter* in, const Value& object, const std::string& name, const Arguments& args) {
  if (!has_method(object, name)) fail(args.line, "{} has no method '{}'", object.type_name(), name);
  if (object.is_list()) return list_method(in, object, name, args);
  if (object.is_text()) return *text_method(in, object.text(), name, args);
  if (object.dict().kind == Dict::Kind::kLoop) return loop_method(object, name, args);
  return dict_method(in, object, name, args);
}

bool is_global_function(std::string_view name) { return is_one_of(kGlobals, name); }

Value call_global(Interpreter* in, const std::string& name, const Arguments& args) {
  if (name == "range") return make_range(in, args);
  if (name == "namespace") return make_mapping(in, args, Dict::Kind::kNamespace);
  if (name == "dict") return make_mapping(in, args, Dict::Kind::kPlain);
  if (name == "strftime_now") return format_now(in, args);
  fail(args.line, "{}", to_text(in, args.get(0, "message", text_value("raise_exception")), args.line).bytes());
}

}  // namespace tessera::jinja
