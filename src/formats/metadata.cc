#include "formats/metadata.h"

#include <limits>
#include <type_traits>

#include "formats/text.h"

namespace tessera {
namespace {

template <class T>
inline constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
std::string_view type_name() {
  if constexpr (std::is_same_v<T, uint8_t>) return "u8";
  if constexpr (std::is_same_v<T, int8_t>) return "i8";
  if constexpr (std::is_same_v<T, uint16_t>) return "u16";
  if constexpr (std::is_same_v<T, int16_t>) return "i16";
  if constexpr (std::is_same_v<T, uint32_t>) return "u32";
  if constexpr (std::is_same_v<T, int32_t>) return "i32";
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, bool>) return "bool";
  if constexpr (std::is_same_v<T, std::string>) return "string";
  if constexpr (std::is_same_v<T, uint64_t>) return "u64";
  if constexpr (std::is_same_v<T, int64_t>) return "i64";
  if constexpr (std::is_same_v<T, double>) return "f64";
}

template <class T>
std::string scalar_text(const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    return in_quotes(value, 200);
  else if constexpr (std::is_same_v<T, bool>)
    return value ? "true" : "false";
  else
    return fmt::format("{}", value);
}

Status wrong_type(std::string_view key, std::string_view expected, const MetadataValue& found) {
  return invalid_argument("{}: expected {}, found {} {}", quotable(key), expected, describe_type(found),
                          describe_value(found, 3));
}

// An integer as T, or nothing when it does not fit.
template <class T>
std::optional<T> fit_integer(const MetadataScalar& scalar) {
  return std::visit(
      [](const auto& value) -> std::optional<T> {
        using V = std::decay_t<decltype(value)>;
        if constexpr (kIsInteger<V>) {
          if (std::in_range<T>(value)) return static_cast<T>(value);
        }
        return std::nullopt;
      },
      scalar);
}

}  // namespace

const MetadataValue* Metadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

void Metadata::erase(std::string_view key) {
  if (const auto it = values_.find(key); it != values_.end()) values_.erase(it);
}

// Each read below starts with the value of the wanted kind (scalar or array), or the error that names the key.
#define TESSERA_FIND(kind, variable, expected)                                       \
  const MetadataValue* found = find(key);                                            \
  if (found == nullptr) return not_found("{}: no such metadata key", quotable(key)); \
  const auto* variable = std::get_if<kind>(found);                                   \
  if (variable == nullptr) return wrong_type(key, expected, *found)

Result<uint64_t> Metadata::u64(std::string_view key) const {
  TESSERA_FIND(MetadataScalar, scalar, "an integer >= 0");
  if (const auto value = fit_integer<uint64_t>(*scalar)) return *value;
  return wrong_type(key, "an integer >= 0", *found);
}

Result<int64_t> Metadata::i64(std::string_view key) const {
  TESSERA_FIND(MetadataScalar, scalar, "an integer");
  if (const auto value = fit_integer<int64_t>(*scalar)) return *value;
  return wrong_type(key, "an integer of 64 bits", *found);
}

Result<double> Metadata::number(std::string_view key) const {
  TESSERA_FIND(MetadataScalar, scalar, "a number");
  return std::visit(
      [&](const auto& value) -> Result<double> {
        using V = std::decay_t<decltype(value)>;
        if constexpr (std::is_arithmetic_v<V> && !std::is_same_v<V, bool>)
          return static_cast<double>(value);
        else
          return wrong_type(key, "a number", *found);
      },
      *scalar);
}

Result<bool> Metadata::boolean(std::string_view key) const {
  TESSERA_FIND(MetadataScalar, scalar, "a bool");
  if (const bool* value = std::get_if<bool>(scalar)) return *value;
  return wrong_type(key, "a bool", *found);
}

Result<std::string> Metadata::text(std::string_view key) const {
  TESSERA_FIND(MetadataScalar, scalar, "a string");
  if (const auto* value = std::get_if<std::string>(scalar)) return *value;
  return wrong_type(key, "a string", *found);
}

Result<std::vector<int64_t>> Metadata::i64_array(std::string_view key) const {
  TESSERA_FIND(MetadataArray, array, "an array of integers");
  return std::visit(
      [&](const auto& items) -> Result<std::vector<int64_t>> {
        using V = typename std::decay_t<decltype(items)>::value_type;
        if constexpr (kIsInteger<V>) {
          std::vector<int64_t> out;
          out.reserve(items.size());
          for (V item : items) {
            if (!std::in_range<int64_t>(item)) return wrong_type(key, "an array of 64-bit integers", *found);
            out.push_back(static_cast<int64_t>(item));
          }
          return out;
        } else {
          return wrong_type(key, "an array of integers", *found);
        }
      },
      *array);
}

Result<std::vector<double>> Metadata::number_array(std::string_view key) const {
  TESSERA_FIND(MetadataArray, array, "an array of numbers");
  return std::visit(
      [&](const auto& items) -> Result<std::vector<double>> {
        using V = typename std::decay_t<decltype(items)>::value_type;
        if constexpr (std::is_arithmetic_v<V> && !std::is_same_v<V, bool>) {
          return std::vector<double>(items.begin(), items.end());
        } else {
          return wrong_type(key, "an array of numbers", *found);
        }
      },
      *array);
}

Result<std::vector<bool>> Metadata::boolean_array(std::string_view key) const {
  TESSERA_FIND(MetadataArray, array, "an array of bool");
  if (const auto* items = std::get_if<std::vector<bool>>(array)) return *items;
  return wrong_type(key, "an array of bool", *found);
}

Result<const std::vector<std::string>*> Metadata::text_array(std::string_view key) const {
  TESSERA_FIND(MetadataArray, array, "an array of strings");
  if (const auto* items = std::get_if<std::vector<std::string>>(array)) return items;
  return wrong_type(key, "an array of strings", *found);
}

#undef TESSERA_FIND

Result<std::vector<int64_t>> Metadata::i64_per_layer(std::string_view key, int64_t count) const {
  const MetadataValue* found = find(key);
  if (found != nullptr && std::holds_alternative<MetadataScalar>(*found)) {
    TESSERA_ASSIGN_OR_RETURN(const int64_t value, i64(key));
    return std::vector<int64_t>(static_cast<size_t>(count), value);
  }
  TESSERA_ASSIGN_OR_RETURN(auto values, i64_array(key));
  if (std::cmp_not_equal(values.size(), count)) {
    return invalid_argument("{}: expected one value or {} (one per layer), found {}", quotable(key), count,
                            values.size());
  }
  return values;
}

std::string describe_type(const MetadataValue& value) {
  if (const auto* scalar = std::get_if<MetadataScalar>(&value)) {
    return std::visit([](const auto& v) { return std::string(type_name<std::decay_t<decltype(v)>>()); }, *scalar);
  }
  return std::visit(
      [](const auto& items) {
        using V = typename std::decay_t<decltype(items)>::value_type;
        return fmt::format("array of {} ({})", type_name<V>(), items.size());
      },
      std::get<MetadataArray>(value));
}

std::string describe_value(const MetadataValue& value, size_t max_items) {
  if (const auto* scalar = std::get_if<MetadataScalar>(&value)) {
    return std::visit([](const auto& v) { return scalar_text(v); }, *scalar);
  }
  return std::visit(
      [&](const auto& items) {
        using V = typename std::decay_t<decltype(items)>::value_type;
        std::string text = "[";
        for (size_t i = 0; i < items.size() && i < max_items; ++i) {
          if (i > 0) text += ", ";
          text += scalar_text<V>(items[i]);
        }
        return text + (items.size() > max_items ? ", ...]" : "]");
      },
      std::get<MetadataArray>(value));
}

}  // namespace tessera
