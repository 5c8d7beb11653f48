// WeightSource: named tensors of a checkpoint, whatever the file format. Names are GGUF's ("blk.0.attn_q.weight"), shapes
// outermost first. Model code binds weights by asking for names; it never sees a file.
#ifndef TESSERA_FORMATS_WEIGHT_SOURCE_H_
#define TESSERA_FORMATS_WEIGHT_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tessera {

struct WeightInfo {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t bytes;  // rows * row_bytes(dtype, cols)
};

// Bytes of some rows of a weight. They point into the mapped file where the stored order is the wanted one, and
// into `owned` where rows had to be rearranged (Hugging Face q/k projections, transposed GPT-2 matrices).
struct WeightBytes {
  std::span<const std::byte> bytes;
  std::vector<std::byte> owned;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual std::span<const WeightInfo> weights() const = 0;
  const WeightInfo* find(std::string_view name) const;  // null when absent

  // Rows [row_begin, row_end) of shape.rows(). Safe to call from several threads. The range must be valid (CHECK);
  // that the bytes lie in the file was verified when the source was opened.
  virtual WeightBytes read_rows(const WeightInfo& weight, int64_t row_begin, int64_t row_end) const = 0;
  WeightBytes read(const WeightInfo& weight) const { return read_rows(weight, 0, weight.shape.rows()); }

  // Only names, types and shapes are there; nothing may be read.
  virtual bool header_only() const = 0;
  // The weight will be read soon: fetches its file pages, which takes as long as the disk; for a thread of its own.
  virtual void will_read(const WeightInfo& weight) const = 0;
  // The weight has been packed: its file pages may leave memory.
  virtual void release(const WeightInfo& weight) const = 0;

  // For whoever fills the source, after the last weight: find() works from then on.
  void index_names();

 protected:
  // Position in weights() of an element of it or of a copy of one.
  size_t index_of(const WeightInfo& weight) const;

 private:
  std::unordered_map<std::string_view, size_t> index_;  // name -> position in weights()
};

}  // namespace tessera

#endif  // TESSERA_FORMATS_WEIGHT_SOURCE_H_
