// PackedMatrix: the weight of one Linear in the layout that the kernels stream (kernels/packed_codec.h). Immutable.
#ifndef TESSERA_OPS_PACKED_MATRIX_H_
#define TESSERA_OPS_PACKED_MATRIX_H_

#include <cstdint>

#include "kernels/packed_codec.h"
#include "ops/packed_bytes.h"
#include "tensor/dtype.h"

namespace tessera {

struct PackedMatrix {
  PackedCodec codec;
  DType dtype;  // as stored
  int64_t rows = 0;
  int64_t cols = 0;
  uint64_t panel_bytes = 0;
  uint64_t panel_stride = 0;  // from one panel to the next: panel_bytes, or twice that when two matrices alternate
  PackedBytes memory;         // of both, then
  uint8_t* first = nullptr;   // panel

  uint64_t bytes() const { return static_cast<uint64_t>(panels()) * panel_bytes; }
  int64_t panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  uint8_t* panel(int64_t p) { return first + static_cast<uint64_t>(p) * panel_stride; }
  const uint8_t* panel(int64_t p) const { return first + static_cast<uint64_t>(p) * panel_stride; }
};

}  // namespace tessera

#endif  // TESSERA_OPS_PACKED_MATRIX_H_
