// Checks that GGUF and safetensors share: what a tensor of this type and shape occupies, and that ranges lie in the
// file without overlap.
#ifndef TESSERA_FORMATS_TENSOR_LAYOUT_H_
#define TESSERA_FORMATS_TENSOR_LAYOUT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/weight_source.h"

namespace tessera {

// Dimensions outermost first, 1 to 4 of them. Errors: a zero dimension, a product that overflows, rows that are not
// whole blocks.
Result<WeightInfo> make_weight_info(std::string_view name, DType dtype, std::span<const uint64_t> dims);

struct ByteRange {
  uint64_t begin = 0;
  uint64_t bytes = 0;
};

// ranges[i] belongs to weights[i]: ends at or before `limit`, and shares no byte with another.
Status check_ranges(std::span<const WeightInfo> weights, std::span<const ByteRange> ranges, uint64_t limit);

// Adds to *missing what a file of `file_bytes` lacks up to `end`; stops at the largest number.
void add_missing(uint64_t end, uint64_t file_bytes, uint64_t* missing);

// "16 (iq2_xxs)": the number, with its public name when this project knows the type but does not read it.
std::string ggml_type_label(uint32_t type);

}  // namespace tessera

#endif  // TESSERA_FORMATS_TENSOR_LAYOUT_H_
