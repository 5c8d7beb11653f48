// JSON files of a checkpoint folder: bounded before they are parsed (size, nesting, number of values), because the
// parsed tree takes many times the memory of its text; and typed reads whose errors name the key.
#ifndef TESSERA_FORMATS_JSON_READ_H_
#define TESSERA_FORMATS_JSON_READ_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tessera {

struct JsonLimits {
  uint64_t max_bytes;
  int max_depth = 64;
  uint64_t max_values = 8u << 20;
};
inline constexpr JsonLimits kConfigLimits{4u << 20};
inline constexpr JsonLimits kTokenizerLimits{96u << 20};

// `what` names the text in errors ("config.json"). The result is an object.
Result<std::shared_ptr<const nlohmann::json>> parse_json_object(std::string_view text, std::string_view what,
                                                                const JsonLimits& limits);
Result<std::shared_ptr<const nlohmann::json>> read_json_object(const std::string& path, const JsonLimits& limits);

// Typed reads of one object's members. A member that is null counts as absent.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string what) : object_(&object), what_(std::move(what)) {}

  const nlohmann::json* find(std::string_view key) const;  // null when absent
  bool has(std::string_view key) const { return find(key) != nullptr; }

  Result<int64_t> integer(std::string_view key, int64_t low, int64_t high) const;
  Result<double> number(std::string_view key) const;  // finite, as a float too
  Result<bool> boolean(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;

  Result<int64_t> integer_or(std::string_view key, int64_t low, int64_t high, int64_t fallback) const;
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> text_or(std::string_view key, std::string_view fallback) const;

  const std::string& what() const { return what_; }

 private:
  Status missing(std::string_view key) const;
  Status wrong(std::string_view key, std::string_view expected) const;

  const nlohmann::json* object_;
  std::string what_;
};

}  // namespace tessera

#endif  // TESSERA_FORMATS_JSON_READ_H_
