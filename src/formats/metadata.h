// Metadata: the key-value part of a checkpoint in GGUF's vocabulary ("llama.block_count",
// "tokenizer.ggml.tokens"). A Hugging Face folder is translated into the same keys (hf_checkpoint.h), so everything
// above this folder knows one vocabulary.
#ifndef TESSERA_FORMATS_METADATA_H_
#define TESSERA_FORMATS_METADATA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace tessera {

// A scalar keeps the width it was written with (the writer must reproduce it); readers ask by meaning: see Metadata::u64 ...
using MetadataScalar = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string,
                                    uint64_t, int64_t, double>;

// An array holds one element type. Nested arrays are refused by the reader.
using MetadataArray =
    std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                 std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>, std::vector<bool>,
                 std::vector<std::string>, std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;

using MetadataValue = std::variant<MetadataScalar, MetadataArray>;

class Metadata {
 public:
  bool contains(std::string_view key) const { return values_.find(key) != values_.end(); }
  const MetadataValue* find(std::string_view key) const;
  void set(std::string key, MetadataValue value) { values_.insert_or_assign(std::move(key), std::move(value)); }
  void set(std::string key, const char* text) { set(std::move(key), MetadataValue(MetadataScalar(std::string(text)))); }
  void erase(std::string_view key);

  // Typed reads. Any integer width is accepted where the value fits; a float where a number is asked. Errors name the key,
  // what was expected and what was found: kNotFound when absent, kInvalidArgument when of another type or out of range.
  Result<uint64_t> u64(std::string_view key) const;
  Result<int64_t> i64(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  // Arrays; a scalar is not accepted as an array of one.
  Result<std::vector<int64_t>> i64_array(std::string_view key) const;
  Result<std::vector<double>> number_array(std::string_view key) const;
  Result<std::vector<bool>> boolean_array(std::string_view key) const;
  Result<const std::vector<std::string>*> text_array(std::string_view key) const;
  // A scalar repeated `count` times, or an array of exactly `count` (per-layer values).
  Result<std::vector<int64_t>> i64_per_layer(std::string_view key, int64_t count) const;

  // The value when the key exists, `fallback` when it does not; a value of the wrong type is an error all the same.
  template <class T>
  static Result<T> value_or(Result<T> result, T fallback) {
    if (!result.ok() && result.status().code() == StatusCode::kNotFound) return fallback;
    return result;
  }

  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }
  size_t size() const { return values_.size(); }

 private:
  std::map<std::string, MetadataValue, std::less<>> values_;
};

// "u32", "array of string (32000)": for messages and `inspect`.
std::string describe_type(const MetadataValue& value);
// Short text of a value: arrays are cut after `max_items`.
std::string describe_value(const MetadataValue& value, size_t max_items = 8);

}  // namespace tessera

#endif  // TESSERA_FORMATS_METADATA_H_
