#include "ops/packed_bytes.h"

#include <algorithm>
#include <mutex>

#include "base/math.h"

namespace tessera {
namespace {

constexpr uint64_t kSlabBytes = 32u << 20;  // what is never touched of it costs address space, not memory

// The slab that is being filled. Weak: matrices own it.
struct OpenSlab {
  std::mutex mutex;
  std::weak_ptr<AlignedBytes> slab;
  uint64_t used_bytes = 0;
};

OpenSlab& open_slab() {
  static OpenSlab slab;
  return slab;
}

}  // namespace

Result<PackedBytes> PackedBytes::allocate(uint64_t bytes) {
  uint64_t padded = 0;
  if (!checked_add(bytes, kCacheLineBytes, &padded)) return resource_exhausted("out of memory: {} bytes", bytes);
  padded = round_up(bytes, kCacheLineBytes);
  OpenSlab& open = open_slab();
  const std::lock_guard lock(open.mutex);
  std::shared_ptr<AlignedBytes> slab = open.slab.lock();
  if (slab == nullptr || slab->size() - open.used_bytes < padded) {
    TESSERA_ASSIGN_OR_RETURN(AlignedBytes memory, AlignedBytes::try_allocate(std::max(padded, kSlabBytes)));
    slab = std::make_shared<AlignedBytes>(std::move(memory));
    open.slab = slab;
    open.used_bytes = 0;
  }
  PackedBytes result;
  result.data_ = reinterpret_cast<uint8_t*>(slab->data()) + open.used_bytes;
  result.size_ = bytes;
  result.slab_ = std::move(slab);
  open.used_bytes += padded;
  return result;
}

}  // namespace tessera
