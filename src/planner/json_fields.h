// Checked reads of JSON fields, for .cc files that parse descriptions: a message names the file, the field, what was
// expected and what was found. Numbers must be finite and inside the given range.
#ifndef TESSERA_PLANNER_JSON_FIELDS_H_
#define TESSERA_PLANNER_JSON_FIELDS_H_

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tessera {

// Collects the first error, so that a reader is a flat list of calls followed by one check.
class JsonFields {
 public:
  using Json = nlohmann::json;
  JsonFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) fail("", "an object", object_);
  }

  template <class T>
  void number(const char* key, T* out, double low, double high) {
    const Json* value = get(key);
    if (value == nullptr) return;
    if (!value->is_number()) return fail(key, "a number", *value);
    const double x = value->get<double>();
    if (!(x >= low && x <= high)) return fail(key, fmt::format("a number in [{:g}, {:g}]", low, high), *value);
    *out = static_cast<T>(x);
  }
  void text(const char* key, std::string* out) {
    const Json* value = get(key);
    if (value == nullptr) return;
    if (!value->is_string()) return fail(key, "a string", *value);
    *out = value->get<std::string>();
  }
  void flag(const char* key, bool* out) {
    const Json* value = get(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(key, "true or false", *value);
    *out = value->get<bool>();
  }
  // The member, or null when it is absent; a member of another kind is an error.
  const Json* object(const char* key) {
    const Json* value = get(key);
    if (value != nullptr && !value->is_object()) fail(key, "an object", *value);
    return value != nullptr && value->is_object() ? value : nullptr;
  }
  const Json* array(const char* key) {
    const Json* value = get(key);
    if (value != nullptr && !value->is_array()) fail(key, "an array", *value);
    return value != nullptr && value->is_array() ? value : nullptr;
  }
  void require(const char* key) {
    if (status_.ok() && (!object_.is_object() || !object_.contains(key)))
      status_ = invalid_argument("{}: field '{}' is missing", where_, key);
  }
  void fail(const char* key, std::string_view expected, const Json& found) {
    if (!status_.ok()) return;
    std::string text = found.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    status_ = invalid_argument("{}: field '{}': expected {}, found {}", where_, key, expected, text);
  }
  void take(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  const Status& status() const { return status_; }

 private:
  const Json* get(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  const Json& object_;
  std::string where_;
  Status status_;
};

// Text -> JSON without exceptions; refuses documents beyond `max_bytes`.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view where, size_t max_bytes = 64 << 20);
Result<std::string> read_text_file(const std::string& path, size_t max_bytes = 64 << 20);

}  // namespace tessera

#endif  // TESSERA_PLANNER_JSON_FIELDS_H_
