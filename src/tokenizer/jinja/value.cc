#include "tokenizer/jinja/value.h"

#include <algorithm>

namespace tessera::jinja {
namespace {

std::string index_key(const Value& key) {
  if (key.is_text()) return "s" + key.text().bytes();
  if (key.is_float()) return "f" + std::to_string(key.as_double());
  if (key.is_number()) return "i" + std::to_string(key.as_int());
  return "n";
}

}  // namespace

Undefined::Undefined(std::string_view what) {
  size_t end = std::min<size_t>(what.size(), 64);
  while (end > 0 && end < what.size() && (static_cast<uint8_t>(what[end]) & 0xc0) == 0x80) --end;
  name = what.substr(0, end);
}

Text Text::substr(size_t begin, size_t count) const {
  Text out;
  out.bytes_ = bytes_.substr(begin, count);
  out.marks_ = marks_.substr(begin, count);
  return out;
}

void Text::append(const Text& other) {
  bytes_ += other.bytes_;
  marks_ += other.marks_;
}

void Text::append(std::string_view bytes, bool from_input) {
  bytes_ += bytes;
  marks_.append(bytes.size(), from_input ? '\1' : '\0');
}

Value* Dict::find(const Value& key) {
  const auto it = index_.find(index_key(key));
  return it == index_.end() ? nullptr : &items_[it->second].second;
}

void Dict::set(const Value& key, Value value) {
  const auto [it, added] = index_.try_emplace(index_key(key), items_.size());
  if (added) {
    items_.emplace_back(key, std::move(value));
  } else {
    items_[it->second].second = std::move(value);
  }
}

void Dict::erase(const Value& key) {
  const auto it = index_.find(index_key(key));
  if (it == index_.end()) return;
  const size_t removed = it->second;
  index_.erase(it);
  items_.erase(items_.begin() + static_cast<ptrdiff_t>(removed));
  for (auto& [name, position] : index_) position -= position > removed;
}

void Dict::clear() {
  items_.clear();
  index_.clear();
}

bool Value::truthy() const {
  if (is_bool()) return as_bool();
  if (is_int()) return as_int() != 0;
  if (is_float()) return as_double() != 0;
  if (is_text()) return !text().empty();
  if (is_list()) return !items().empty();
  if (is_dict()) return dict().kind != Dict::Kind::kPlain || !dict().items().empty();
  return is_function();
}

std::string_view Value::type_name() const {
  if (is_none()) return "none";
  if (is_undefined()) return "undefined";
  if (is_bool()) return "boolean";
  if (is_int()) return "integer";
  if (is_float()) return "float";
  if (is_text()) return "string";
  if (is_list()) return "list";
  if (is_dict()) return "mapping";
  return "function";
}

bool Value::same_object(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (is_list()) return &items() == &other.items();
  if (is_dict()) return &dict() == &other.dict();
  if (is_function()) return function() == other.function();
  if (is_text()) return text().bytes() == other.text().bytes();
  if (is_float()) return as_double() == other.as_double();
  if (is_number()) return as_int() == other.as_int();
  return true;
}

}  // namespace tessera::jinja
