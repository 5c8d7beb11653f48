#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/check.h"
#include "base/math.h"

namespace tessera {
namespace {

// In enum order (checked below). The GGUF numbers are those of the GGUF specification.
constexpr std::array kDTypes = {
    DTypeInfo{DType::kF32, "f32", 1, 4, 0, false},
    DTypeInfo{DType::kF16, "f16", 1, 2, 1, false},
    DTypeInfo{DType::kBF16, "bf16", 1, 2, 30, false},
    DTypeInfo{DType::kF64, "f64", 1, 8, 28, false},
    DTypeInfo{DType::kI8, "i8", 1, 1, 24, false},
    DTypeInfo{DType::kI16, "i16", 1, 2, 25, false},
    DTypeInfo{DType::kI32, "i32", 1, 4, 26, false},
    DTypeInfo{DType::kI64, "i64", 1, 8, 27, false},
    DTypeInfo{DType::kF8E4M3, "f8_e4m3", 1, 1, -1, false},
    DTypeInfo{DType::kQ8_0, "q8_0", 32, 34, 8, true},
    DTypeInfo{DType::kQ4_0, "q4_0", 32, 18, 2, true},
    DTypeInfo{DType::kQ4_1, "q4_1", 32, 20, 3, true},
    DTypeInfo{DType::kQ5_0, "q5_0", 32, 22, 6, true},
    DTypeInfo{DType::kQ5_1, "q5_1", 32, 24, 7, true},
    DTypeInfo{DType::kQ2_K, "q2_k", 256, 84, 10, true},
    DTypeInfo{DType::kQ3_K, "q3_k", 256, 110, 11, true},
    DTypeInfo{DType::kQ4_K, "q4_k", 256, 144, 12, true},
    DTypeInfo{DType::kQ5_K, "q5_k", 256, 176, 13, true},
    DTypeInfo{DType::kQ6_K, "q6_k", 256, 210, 14, true},
    DTypeInfo{DType::kIQ4_NL, "iq4_nl", 32, 18, 20, true},
    DTypeInfo{DType::kIQ4_XS, "iq4_xs", 256, 136, 23, true},
    DTypeInfo{DType::kMXFP4, "mxfp4", 32, 17, 39, true},
    DTypeInfo{DType::kW8, "w8", 0, 0, -1, true},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes[i].dtype != static_cast<DType>(i)) return false;
  }
  return true;
}
static_assert(in_enum_order());

}  // namespace

const DTypeInfo& dtype_info(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  TESSERA_CHECK(index < kDTypes.size(), "dtype {}", index);
  return kDTypes[index];
}

std::span<const DTypeInfo> all_dtypes() { return kDTypes; }

std::optional<DType> dtype_from_name(std::string_view name) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  for (const DTypeInfo& info : kDTypes) {
    if (std::ranges::equal(name, info.name, same)) return info.dtype;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_ggml_id(uint32_t id) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.ggml_id >= 0 && static_cast<uint32_t>(info.ggml_id) == id) return info.dtype;
  }
  return std::nullopt;
}

std::optional<uint64_t> row_bytes(DType dtype, uint64_t elements) {
  uint64_t bytes = 0;
  if (dtype == DType::kW8) {
    if (!checked_add(elements, sizeof(float), &bytes)) return std::nullopt;
    return bytes;
  }
  const DTypeInfo& info = dtype_info(dtype);
  const auto block = static_cast<uint64_t>(info.block_elements);
  if (elements % block != 0) return std::nullopt;
  if (!checked_mul(elements / block, static_cast<uint64_t>(info.block_bytes), &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace tessera
