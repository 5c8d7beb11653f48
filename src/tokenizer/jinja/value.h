// Values of the template language, and strings that remember where their bytes come from.
//
// Text carries one mark per byte: does it come from the input (a message, a tool description) or from the template?
// Every operation moves the marks with the bytes. In the end only template bytes can form control tokens, so a user who
// writes
// <|im_end|> has written nine harmless pieces of text.
#ifndef TESSERA_TOKENIZER_JINJA_VALUE_H_
#define TESSERA_TOKENIZER_JINJA_VALUE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace tessera::jinja {

class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes, bool from_input = false)
      : bytes_(std::move(bytes)), marks_(bytes_.size(), from_input ? '\1' : '\0') {}

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  bool from_input(size_t i) const { return marks_[i] != 0; }

  Text substr(size_t begin, size_t count = std::string::npos) const;
  void append(const Text& other);
  void append(std::string_view bytes, bool from_input);

 private:
  std::string bytes_;
  std::string marks_;  // one byte per byte
};

class Value;
struct List {
  std::vector<Value> items;
  bool tuple = false;  // shows only when printed
};

// Keeps the order of insertion, as Python does.
class Dict {
 public:
  enum class Kind { kPlain, kNamespace, kLoop };

  Value* find(const Value& key);
  void set(const Value& key, Value value);
  void erase(const Value& key);
  void clear();
  std::vector<std::pair<Value, Value>>& items() { return items_; }

  Kind kind = Kind::kPlain;

 private:
  std::vector<std::pair<Value, Value>> items_;
  std::unordered_map<std::string, size_t> index_;
};

struct Function;
struct Undefined {
  Undefined() = default;
  explicit Undefined(std::string_view what);

  std::string name;  // for messages; a text may be as long as its author likes
};
struct None {};

class Value {
 public:
  Value() : data_(None{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}
  Value(const char*) = delete;  // would become a bool
  Value(std::shared_ptr<List> list) : data_(std::move(list)) {}
  Value(std::shared_ptr<Dict> dict) : data_(std::move(dict)) {}
  Value(std::shared_ptr<Function> function) : data_(std::move(function)) {}

  bool is_undefined() const { return holds<Undefined>(); }
  bool is_none() const { return holds<None>(); }
  bool is_bool() const { return holds<bool>(); }
  bool is_int() const { return holds<int64_t>(); }
  bool is_float() const { return holds<double>(); }
  bool is_number() const { return is_int() || is_float() || is_bool(); }
  bool is_text() const { return holds<std::shared_ptr<const Text>>(); }
  bool is_list() const { return holds<std::shared_ptr<List>>(); }
  bool is_dict() const { return holds<std::shared_ptr<Dict>>(); }
  bool is_function() const { return holds<std::shared_ptr<Function>>(); }

  bool as_bool() const { return std::get<bool>(data_); }
  // Of a bool or an int; of any number.
  int64_t as_int() const { return is_bool() ? as_bool() : std::get<int64_t>(data_); }
  double as_double() const { return is_float() ? std::get<double>(data_) : static_cast<double>(as_int()); }
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  std::vector<Value>& items() const { return std::get<std::shared_ptr<List>>(data_)->items; }
  bool is_tuple() const { return is_list() && std::get<std::shared_ptr<List>>(data_)->tuple; }
  Dict& dict() const { return *std::get<std::shared_ptr<Dict>>(data_); }
  const std::shared_ptr<Function>& function() const { return std::get<std::shared_ptr<Function>>(data_); }
  const std::string& undefined_name() const { return std::get<Undefined>(data_).name; }

  bool truthy() const;
  std::string_view type_name() const;
  bool same_object(const Value& other) const;

 private:
  template <class T>
  bool holds() const {
    return std::holds_alternative<T>(data_);
  }

  std::variant<None, Undefined, bool, int64_t, double, std::shared_ptr<const Text>, std::shared_ptr<List>,
               std::shared_ptr<Dict>, std::shared_ptr<Function>>
      data_;
};

inline Value text_value(std::string bytes, bool from_input = false) {
  return Value(Text(std::move(bytes), from_input));
}

}  // namespace tessera::jinja

#endif  // TESSERA_TOKENIZER_JINJA_VALUE_H_
