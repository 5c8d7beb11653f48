// PackedBytes: memory of one packed matrix, cut from slabs that are large enough for 2 MiB pages. A matrix of one or two
// megabytes on its own would live in 4 KiB pages, where DRAM reads are 6-10 % slower and prefetchers stop at every
// page's end. A slab goes back to the system with the last matrix in it.
#ifndef TESSERA_OPS_PACKED_BYTES_H_
#define TESSERA_OPS_PACKED_BYTES_H_

#include <cstdint>
#include <memory>

#include "base/aligned.h"
#include "base/status.h"

namespace tessera {

class PackedBytes {
 public:
  PackedBytes() = default;
  static Result<PackedBytes> allocate(uint64_t bytes);  // aligned to a cache line

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::shared_ptr<AlignedBytes> slab_;
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_OPS_PACKED_BYTES_H_
