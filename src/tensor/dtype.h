// DType: element types of stored tensors, with the block geometry of the quantized ones. One list for the whole
// project (dtype.cc); what the bytes of a block mean is in quant/.
#ifndef TESSERA_TENSOR_DTYPE_H_
#define TESSERA_TENSOR_DTYPE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tessera {

enum class DType : uint8_t {
  kF32, kF16, kBF16, kF64, kI8, kI16, kI32, kI64, kF8E4M3,
  kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1,
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K,
  kIQ4_NL, kIQ4_XS, kMXFP4,
  kW8,  // ours: int8 rows with one f32 scale per output row (quant/w8.h); row layout: scale, then cols bytes
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as on the command line and in tables: "q4_k"
  int block_elements;     // consecutive elements of a row that share a block; 1 for plain types, 0 for kW8 (whole row)
  int block_bytes;
  int ggml_id;  // GGUF tensor type number; -1 when GGUF has none
  bool quantized;
};

const DTypeInfo& dtype_info(DType dtype);
std::span<const DTypeInfo> all_dtypes();
inline std::string_view to_string(DType dtype) { return dtype_info(dtype).name; }
std::optional<DType> dtype_from_name(std::string_view name);  // any case: "Q4_K", "bf16"
std::optional<DType> dtype_from_ggml_id(uint32_t id);

// Bytes of one row of `elements`; nullopt when elements is not a multiple of the block or the product overflows.
std::optional<uint64_t> row_bytes(DType dtype, uint64_t elements);

}  // namespace tessera

#endif  // TESSERA_TENSOR_DTYPE_H_
