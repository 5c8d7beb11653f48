#include "formats/gguf_header.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <type_traits>
#include <unordered_set>

#include "base/math.h"
#include "formats/byte_reader.h"
#include "formats/tensor_layout.h"
#include "formats/text.h"

namespace tessera {
namespace {

constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;            // key length, key, type, value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // name length, name, rank, one dimension, type, offset

Status truncated(std::string_view what) { return invalid_argument("{}: the file ends inside it", what); }

// A scalar of the file's type `type`, as one of MetadataScalar's alternatives, and arrays of them: `visit` is called
// with a value-initialized object of the C++ type. False for numbers that are no scalar type.
template <class Visitor>
bool visit_type(GgufType type, Visitor visit) {
  switch (type) {
    case GgufType::kU8: visit(uint8_t{}); return true;
    case GgufType::kI8: visit(int8_t{}); return true;
    case GgufType::kU16: visit(uint16_t{}); return true;
    case GgufType::kI16: visit(int16_t{}); return true;
    case GgufType::kU32: visit(uint32_t{}); return true;
    case GgufType::kI32: visit(int32_t{}); return true;
    case GgufType::kF32: visit(float{}); return true;
    case GgufType::kBool: visit(bool{}); return true;
    case GgufType::kString: visit(std::string{}); return true;
    case GgufType::kU64: visit(uint64_t{}); return true;
    case GgufType::kI64: visit(int64_t{}); return true;
    case GgufType::kF64: visit(double{}); return true;
    case GgufType::kArray: return false;
  }
  return false;
}

class HeaderParser {
 public:
  HeaderParser(std::span<const std::byte> bytes, const OpenOptions& options)
      : file_bytes_(bytes.size()),
        options_(options),
        reader_(bytes.first(std::min<uint64_t>(bytes.size(), kGgufMaxHeaderBytes))) {}

  Result<GgufHeader> parse() {
    TESSERA_RETURN_IF_ERROR(parse_preamble());
    for (uint64_t i = 0; i < pair_count_; ++i) TESSERA_RETURN_IF_ERROR(parse_pair(i));
    TESSERA_RETURN_IF_ERROR(read_alignment());
    header_.weights.reserve(tensor_count_);
    header_.offsets.reserve(tensor_count_);
    for (uint64_t i = 0; i < tensor_count_; ++i) TESSERA_RETURN_IF_ERROR(parse_tensor(i));
    header_.data_begin = round_up(reader_.position(), header_.alignment);
    TESSERA_RETURN_IF_ERROR(place_tensors());
    return std::move(header_);
  }

 private:
  Status parse_preamble() {
    const auto magic = reader_.number<uint32_t>();
    header_.version = reader_.number<uint32_t>();
    tensor_count_ = reader_.number<uint64_t>();
    pair_count_ = reader_.number<uint64_t>();
    if (file_bytes_ >= 4 && magic != kGgufMagic) {
      return invalid_argument("magic: expected \"GGUF\", found 0x{:08x} (not a GGUF file)", magic);
    }
    if (!reader_.ok()) return truncated("GGUF preamble");
    if (header_.version == 0x02000000u || header_.version == 0x03000000u) {
      return unsupported("version: big-endian GGUF files are not supported");
    }
    if (header_.version != 2 && header_.version != 3) {
      return unsupported("version: expected 2 or 3, found {}", header_.version);
    }
    if (pair_count_ > reader_.remaining() / kMinPairBytes) {
      return invalid_argument("metadata count: {} pairs cannot be in {} bytes", pair_count_, reader_.remaining());
    }
    if (tensor_count_ > reader_.remaining() / kMinTensorBytes) {
      return invalid_argument("tensor count: {} tensors cannot be in {} bytes", tensor_count_, reader_.remaining());
    }
    return {};
  }

  // Length-prefixed text that stays in the file.
  Result<std::string_view> parse_text(std::string_view what, uint64_t max_bytes) {
    const auto length = reader_.number<uint64_t>();
    if (!reader_.ok()) return truncated(what);
    if (length > max_bytes) return invalid_argument("{}: expected at most {} bytes, found {}", what, max_bytes, length);
    if (length > reader_.remaining()) {
      return invalid_argument("{}: its length {} is more than the {} bytes that follow", what, length,
                              reader_.remaining());
    }
    return reader_.text(length);
  }

  Status parse_pair(uint64_t index) {
    TESSERA_ASSIGN_OR_RETURN(const std::string_view key,
                             parse_text(fmt::format("metadata key {}", index), kGgufMaxKeyBytes));
    if (key.empty()) return invalid_argument("metadata key {}: empty", index);
    if (header_.metadata.contains(key)) return invalid_argument("{}: metadata key given twice", quotable(key));
    const auto type = reader_.number<uint32_t>();
    if (!reader_.ok()) return truncated(quotable(key));
    TESSERA_ASSIGN_OR_RETURN(MetadataValue value, static_cast<GgufType>(type) == GgufType::kArray
                                                      ? parse_array(key)
                                                      : parse_scalar(key, static_cast<GgufType>(type)));
    header_.metadata.set(std::string(key), std::move(value));
    return {};
  }

  template <class T>
  Status parse_item(std::string_view key, T* item) {
    if constexpr (std::is_same_v<T, std::string>) {
      const auto length = reader_.number<uint64_t>();
      if (!reader_.ok()) return truncated(quotable(key));
      if (length > reader_.remaining()) {
        return invalid_argument("{}: string of {} bytes, but {} bytes follow", quotable(key), length,
                                reader_.remaining());
      }
      *item = reader_.text(length);
    } else if constexpr (std::is_same_v<T, bool>) {
      const auto byte = reader_.number<uint8_t>();
      if (byte > 1) return invalid_argument("{}: expected a bool (0 or 1), found {}", quotable(key), byte);
      *item = byte == 1;
    } else {
      *item = reader_.number<T>();
    }
    return reader_.ok() ? Status() : truncated(quotable(key));
  }

  Result<MetadataValue> parse_scalar(std::string_view key, GgufType type) {
    Status status;
    MetadataScalar scalar;
    const bool known = visit_type(type, [&](auto item) {
      status = parse_item(key, &item);
      scalar = std::move(item);
    });
    if (!known) return unknown_type(key, type);
    if (!status.ok()) return status;
    return MetadataValue(std::move(scalar));
  }

  Result<MetadataValue> parse_array(std::string_view key) {
    const auto type = static_cast<GgufType>(reader_.number<uint32_t>());
    const auto count = reader_.number<uint64_t>();
    if (!reader_.ok()) return truncated(quotable(key));
    if (type == GgufType::kArray) return unsupported("{}: arrays of arrays are not supported", quotable(key));
    Status status;
    MetadataArray array;
    const bool known = visit_type(type, [&](auto item) {
      using T = decltype(item);
      std::vector<T> items;
      status = parse_items(key, count, &items);
      array = std::move(items);
    });
    if (!known) return unknown_type(key, type);
    if (!status.ok()) return status;
    return MetadataValue(std::move(array));
  }

  template <class T>
  Status parse_items(std::string_view key, uint64_t count, std::vector<T>* items) {
    const uint64_t item_bytes = std::is_same_v<T, std::string> ? 8 : std::is_same_v<T, bool> ? 1 : sizeof(T);
    if (count > reader_.remaining() / item_bytes) {
      return invalid_argument("{}: array of {} items cannot be in the {} bytes that follow", quotable(key), count,
                              reader_.remaining());
    }
    items->reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      T item{};
      TESSERA_RETURN_IF_ERROR(parse_item(key, &item));
      items->push_back(std::move(item));
    }
    return {};
  }

  static Status unknown_type(std::string_view key, GgufType type) {
    return invalid_argument("{}: unknown metadata type {}", quotable(key), static_cast<uint32_t>(type));
  }

  Status read_alignment() {
    const MetadataValue* value = header_.metadata.find("general.alignment");
    if (value == nullptr) return {};
    TESSERA_ASSIGN_OR_RETURN(header_.alignment, header_.metadata.u64("general.alignment"));
    const uint64_t a = header_.alignment;
    if (a == 0 || (a & (a - 1)) != 0 || a > kGgufMaxAlignment) {
      return invalid_argument("general.alignment: expected a power of two up to {}, found {}", kGgufMaxAlignment, a);
    }
    return {};
  }

  Status parse_tensor(uint64_t index) {
    TESSERA_ASSIGN_OR_RETURN(const std::string_view raw_name,
                             parse_text(fmt::format("name of tensor {}", index), kGgufMaxNameBytes));
    if (raw_name.empty()) return invalid_argument("name of tensor {}: empty", index);
    const std::string name = quotable(raw_name, kGgufMaxNameBytes);
    const auto rank = reader_.number<uint32_t>();
    if (!reader_.ok()) return truncated(name);
    if (rank < 1 || rank > Shape::kMaxRank) {
      return invalid_argument("{}: expected 1 to {} dimensions, found {}", name, Shape::kMaxRank, rank);
    }
    std::array<uint64_t, Shape::kMaxRank> dims{};
    for (uint32_t i = rank; i-- > 0;) dims[i] = reader_.number<uint64_t>();  // the file has the innermost first
    const auto type = reader_.number<uint32_t>();
    const auto offset = reader_.number<uint64_t>();
    if (!reader_.ok()) return truncated(name);
    const auto dtype = dtype_from_ggml_id(type);
    if (!dtype) return unsupported("{}: tensor type {} is not supported", name, ggml_type_label(type));
    TESSERA_ASSIGN_OR_RETURN(WeightInfo weight, make_weight_info(raw_name, *dtype, std::span(dims).first(rank)));
    if (offset % header_.alignment != 0) {
      return invalid_argument("{}: offset {} is not a multiple of the alignment {}", name, offset, header_.alignment);
    }
    if (!names_.insert(weight.name).second) return invalid_argument("{}: tensor given twice", name);
    header_.weights.push_back(std::move(weight));
    header_.offsets.push_back(offset);
    return {};
  }

  // Offsets become absolute; ranges must lie in the file and must not overlap.
  Status place_tensors() {
    std::vector<ByteRange> ranges(header_.weights.size());
    for (size_t i = 0; i < ranges.size(); ++i) {
      if (!checked_add(header_.offsets[i], header_.data_begin, &header_.offsets[i])) {
        return invalid_argument("{}: its offset overflows", quotable(header_.weights[i].name));
      }
      ranges[i] = {header_.offsets[i], header_.weights[i].bytes};
    }
    const uint64_t limit = options_.header_only ? std::numeric_limits<uint64_t>::max() : file_bytes_;
    return check_ranges(header_.weights, ranges, limit);
  }

  uint64_t file_bytes_;
  OpenOptions options_;
  ByteReader reader_;
  uint64_t tensor_count_ = 0;
  uint64_t pair_count_ = 0;
  GgufHeader header_;
  std::unordered_set<std::string> names_;
};

}  // namespace

Result<GgufHeader> parse_gguf_header(std::span<const std::byte> bytes, const OpenOptions& options) {
  return HeaderParser(bytes, options).parse();
}

}  // namespace tessera
