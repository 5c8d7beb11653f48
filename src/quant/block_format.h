// Block formats: how each DType stores a row of numbers. Plain scalar code: the definition, and the oracle of every
// kernel that reads these bytes faster. unpack agrees bit for bit with public files of these types.
#ifndef TESSERA_QUANT_BLOCK_FORMAT_H_
#define TESSERA_QUANT_BLOCK_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tessera {

struct BlockFormat {
  DType dtype;
  // Row of `elements` numbers at `row` -> f32. elements is a multiple of the block.
  void (*unpack)(const std::byte* row, float* out, int64_t elements);
  // f32 -> row bytes, by rounding. `importance` (one weight >= 0 per element, or null): squared errors are weighted
  // by it where the format has a choice. Null where the project does not write the type.
  void (*pack)(const float* values, const float* importance, std::byte* row, int64_t elements);
};

// Null for types that are not numbers of a weight (i16, i32, i64).
const BlockFormat* block_format(DType dtype);

// Unpacks row after row: rows x cols numbers.
void unpack_rows(DType dtype, const std::byte* data, int64_t rows, int64_t cols, float* out);

}  // namespace tessera

#endif  // TESSERA_QUANT_BLOCK_FORMAT_H_
