#include "formats/json_read.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file_map.h"
#include "formats/text.h"

namespace tessera {
namespace {

using nlohmann::json;

// One pass over the text, strings skipped: nesting depth and an upper bound of the number of values.
Status check_limits(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return resource_exhausted("{}: expected at most {} bytes, found {}", what, limits.max_bytes, text.size());
  }
  int depth = 0;
  uint64_t values = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++depth, ++values;
    if (c == ']' || c == '}') --depth;
    if (c == ',') ++values;
    if (depth > limits.max_depth) {
      return resource_exhausted("{}: nested deeper than {} levels", what, limits.max_depth);
    }
  }
  if (values > limits.max_values) {
    return resource_exhausted("{}: expected at most {} values, found {}", what, limits.max_values, values);
  }
  return {};
}

std::string shown(const json& value) {
  return quotable(
      value.is_structured() ? value.type_name() : value.dump(-1, ' ', false, json::error_handler_t::replace), 60);
}

}  // namespace

Result<std::shared_ptr<const json>> parse_json_object(std::string_view text, std::string_view what,
                                                      const JsonLimits& limits) {
  TESSERA_RETURN_IF_ERROR(check_limits(text, what, limits));
  auto parsed = std::make_shared<json>(json::parse(text, nullptr, /*allow_exceptions=*/false));
  if (parsed->is_discarded()) return invalid_argument("{}: not valid JSON", what);
  if (!parsed->is_object()) return invalid_argument("{}: expected an object, found {}", what, parsed->type_name());
  return std::shared_ptr<const json>(std::move(parsed));
}

Result<std::shared_ptr<const json>> read_json_object(const std::string& path, const JsonLimits& limits) {
  TESSERA_ASSIGN_OR_RETURN(const auto map, FileMap::open(path));
  return parse_json_object({reinterpret_cast<const char*>(map->bytes().data()), map->size()}, path, limits);
}

const json* JsonFields::find(std::string_view key) const {
  const auto it = object_->find(key);
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

Status JsonFields::missing(std::string_view key) const { return not_found("{}: {}: missing", what_, key); }

Status JsonFields::wrong(std::string_view key, std::string_view expected) const {
  return invalid_argument("{}: {}: expected {}, found {}", what_, key, expected, shown(*find(key)));
}

Result<int64_t> JsonFields::integer(std::string_view key, int64_t low, int64_t high) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key);
  const std::string expected = fmt::format("an integer in {} .. {}", low, high);
  if (!value->is_number_integer()) return wrong(key, expected);
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return wrong(key, expected);
  }
  const auto number = value->get<int64_t>();
  if (number < low || number > high) return wrong(key, expected);
  return number;
}

Result<double> JsonFields::number(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key);
  if (!value->is_number()) return wrong(key, "a number");
  const auto number = value->get<double>();
  if (!(std::abs(number) <= std::numeric_limits<float>::max())) return wrong(key, "a number that fits in 32 bits");
  return number;
}

Result<bool> JsonFields::boolean(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key);
  if (!value->is_boolean()) return wrong(key, "true or false");
  return value->get<bool>();
}

Result<std::string> JsonFields::text(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return missing(key);
  if (!value->is_string()) return wrong(key, "a string");
  return value->get<std::string>();
}

Result<int64_t> JsonFields::integer_or(std::string_view key, int64_t low, int64_t high, int64_t fallback) const {
  return has(key) ? integer(key, low, high) : fallback;
}
Result<double> JsonFields::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}
Result<bool> JsonFields::boolean_or(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}
Result<std::string> JsonFields::text_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}

}  // namespace tessera
