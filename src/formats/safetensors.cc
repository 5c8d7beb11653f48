#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

#include "base/math.h"
#include "formats/byte_reader.h"
#include "formats/tensor_layout.h"
#include "formats/text.h"

namespace tessera {
namespace {

using nlohmann::json;

struct TypeEntry {
  std::string_view name;
  uint64_t bytes;
  std::optional<DType> dtype;
};
constexpr std::array kTypes = {
    TypeEntry{"F32", 4, DType::kF32},
    TypeEntry{"F16", 2, DType::kF16},
    TypeEntry{"BF16", 2, DType::kBF16},
    TypeEntry{"F8_E4M3", 1, DType::kF8E4M3},
    TypeEntry{"F64", 8, DType::kF64},
    TypeEntry{"I8", 1, DType::kI8},
    TypeEntry{"I16", 2, DType::kI16},
    TypeEntry{"I32", 4, DType::kI32},
    TypeEntry{"I64", 8, DType::kI64},
    TypeEntry{"U8", 1, {}},
    TypeEntry{"U16", 2, {}},
    TypeEntry{"U32", 4, {}},
    TypeEntry{"U64", 8, {}},
    TypeEntry{"BOOL", 1, {}},
    TypeEntry{"F8_E5M2", 1, {}},
    TypeEntry{"F8_E8M0", 1, {}},
};

// Takes the events of the JSON reader. The grammar has four places; anything that does not fit ends the reading.
class HeaderEvents final : public nlohmann::json_sax<json> {
 public:
  Status status;
  std::vector<SafetensorsEntry> entries;

  bool start_object(size_t) override {
    if (place_ == Place::kStart) return go(Place::kTop);
    if (place_ == Place::kTop && key_ == "__metadata__") return go(Place::kMetadata);
    if (place_ == Place::kTop) {
      if (!names_.insert(key_).second) return fail(invalid_argument("{}: tensor given twice", quotable(key_)));
      entries.push_back({.name = key_, .dtype_name = {}, .dtype = {}, .dims = {}});
      fields_ = 0;
      offsets_.clear();
      return go(Place::kTensor);
    }
    return misplaced("an object");
  }
  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (fields_ != (kDtype | kShape | kOffsets)) {
        return fail(invalid_argument("{}: expected dtype, shape and data_offsets", name()));
      }
      if (!finish_tensor()) return false;
    }
    return go(place_ == Place::kTop ? Place::kEnd : Place::kTop);
  }
  bool start_array(size_t) override {
    if (place_ == Place::kTensor && key_ == "shape" && add_field(kShape)) return go(Place::kShape);
    if (place_ == Place::kTensor && key_ == "data_offsets" && add_field(kOffsets)) return go(Place::kOffsets);
    return misplaced("an array");
  }
  bool end_array() override { return go(Place::kTensor); }
  bool key(string_t& text) override {
    key_ = text;
    return true;
  }
  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kTensor || key_ != "dtype" || !add_field(kDtype)) return misplaced("a string");
    entries.back().dtype_name = text;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    auto& entry = entries;
    if (place_ == Place::kShape) {
      if (entry.back().dims.size() == 8) return fail(unsupported("{}: shape: more than 8 dimensions", name()));
      entry.back().dims.push_back(value);
      return true;
    }
    if (place_ == Place::kOffsets && offsets_.size() < 2) {
      offsets_.push_back(value);
      return true;
    }
    return misplaced("a number");
  }
  bool number_integer(number_integer_t value) override {
    return fail(invalid_argument("{}: expected a number >= 0, found {}", name(), value));
  }
  bool number_float(number_float_t, const string_t&) override { return misplaced("a fraction"); }
  bool null() override { return misplaced("null"); }
  bool boolean(bool) override { return misplaced("a bool"); }
  bool binary(binary_t&) override { return misplaced("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail(invalid_argument("header: not valid JSON at byte {}", position));
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };
  static constexpr int kDtype = 1, kShape = 2, kOffsets = 4;

  std::string name() const { return entries.empty() ? "header" : quotable(entries.back().name); }
  bool go(Place place) {
    place_ = place;
    return true;
  }
  bool fail(Status why) {
    if (status.ok()) status = std::move(why);
    return false;
  }
  bool misplaced(std::string_view what) {
    return fail(invalid_argument("header: unexpected {} at key {}", what, in_quotes(key_)));
  }
  bool add_field(int field) {
    const bool fresh = (fields_ & field) == 0;
    fields_ |= field;
    return fresh;
  }

  // Type, size and range of the entry that just ended; `begin` is still relative to the data section.
  bool finish_tensor() {
    SafetensorsEntry& entry = entries.back();
    const auto type = std::ranges::find(kTypes, entry.dtype_name, &TypeEntry::name);
    if (type == kTypes.end()) {
      return fail(unsupported("{}: dtype: {} is not supported", name(), in_quotes(entry.dtype_name)));
    }
    entry.dtype = type->dtype;
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      return fail(invalid_argument("{}: data_offsets: expected [begin, end] with begin <= end", name()));
    }
    uint64_t bytes = type->bytes;
    for (uint64_t dim : entry.dims) {
      if (!checked_mul(bytes, dim, &bytes)) {
        return fail(invalid_argument("{}: shape: the product of its dimensions overflows", name()));
      }
    }
    entry.begin = offsets_[0];
    entry.bytes = offsets_[1] - offsets_[0];
    if (entry.bytes != bytes) {
      return fail(invalid_argument("{}: data_offsets: expected {} bytes for its dtype and shape, found {}", name(),
                                   bytes, entry.bytes));
    }
    return true;
  }

  Place place_ = Place::kStart;
  int fields_ = 0;
  std::string key_;
  std::vector<uint64_t> offsets_;
  std::unordered_set<std::string> names_;
};

// Offsets become absolute; ranges lie in the file and do not overlap (empty tensors may share a place).
Status place_entries(std::vector<SafetensorsEntry>* entries, uint64_t data_begin, uint64_t file_bytes) {
  std::vector<const SafetensorsEntry*> order;
  for (SafetensorsEntry& entry : *entries) {
    uint64_t end = 0;
    if (!checked_add(entry.begin, data_begin, &entry.begin) || !checked_add(entry.begin, entry.bytes, &end) ||
        end > file_bytes) {
      return invalid_argument("{}: data_offsets: end is outside of the file's {} bytes", quotable(entry.name),
                              file_bytes);
    }
    if (entry.bytes > 0) order.push_back(&entry);
  }
  std::ranges::sort(order, {}, &SafetensorsEntry::begin);
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->begin < order[i - 1]->begin + order[i - 1]->bytes) {
      return invalid_argument("{}: data_offsets: overlaps {}", quotable(order[i]->name), quotable(order[i - 1]->name));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<SafetensorsEntry>> parse_safetensors_header(std::span<const std::byte> file,
                                                               const OpenOptions& options) {
  ByteReader reader(file);
  const auto length = reader.number<uint64_t>();
  if (!reader.ok()) return invalid_argument("header length: expected 8 bytes, the file has {}", file.size());
  if (length > kSafetensorsMaxHeaderBytes) {
    return invalid_argument("header length: expected at most {} bytes, found {} (not a safetensors file?)",
                            kSafetensorsMaxHeaderBytes, length);
  }
  if (length > reader.remaining()) {
    return invalid_argument("header length: {} bytes, but {} bytes follow", length, reader.remaining());
  }
  const std::string_view text = reader.text(length);
  HeaderEvents events;
  const bool complete = json::sax_parse(text.begin(), text.end(), &events);
  TESSERA_RETURN_IF_ERROR(events.status);
  if (!complete) return invalid_argument("header: not valid JSON");
  const uint64_t limit = options.header_only ? std::numeric_limits<uint64_t>::max() : file.size();
  TESSERA_RETURN_IF_ERROR(place_entries(&events.entries, reader.position(), limit));
  return std::move(events.entries);
}

}  // namespace tessera
