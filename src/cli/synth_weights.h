// Random stored rows at the speed of a copy: a pool of Gaussian blocks is packed once per (type, scale), and rows are
// put together from blocks of the pool drawn at random. Speed and memory of an engine cannot tell the difference;
// packing billions of numbers would take minutes.
#ifndef TESSERA_CLI_SYNTH_WEIGHTS_H_
#define TESSERA_CLI_SYNTH_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tessera {

class RandomBlocks {
 public:
  // Values are mean + stddev * Gaussian. kUnsupported when the project cannot write the type.
  static Result<RandomBlocks> create(DType dtype, float mean, float stddev, uint64_t seed);

  // Stored bytes of `elements` consecutive numbers (a multiple of unit_elements()). The same seed gives the same bytes.
  void fill(uint64_t seed, int64_t elements, std::byte* out) const;
  int64_t unit_elements() const { return unit_elements_; }

 private:
  int64_t unit_elements_ = 0;
  uint64_t unit_bytes_ = 0;
  std::vector<std::byte> pool_;
};

}  // namespace tessera

#endif  // TESSERA_CLI_SYNTH_WEIGHTS_H_
