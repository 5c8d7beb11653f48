// Arena: scratch memory of one forward pass. Allocation moves a pointer; reset() frees everything at once and keeps
// the memory, so that after the first steps (warm-up) a step allocates nothing. One thread only.
#ifndef TESSERA_BASE_ARENA_H_
#define TESSERA_BASE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"

namespace tessera {

class Arena {
 public:
  // Uninitialised memory, aligned to 64 bytes, valid until reset().
  template <class T>
  std::span<T> allocate(int64_t count) {
    return {reinterpret_cast<T*>(allocate_bytes(static_cast<uint64_t>(count) * sizeof(T))), static_cast<size_t>(count)};
  }
  std::byte* allocate_bytes(uint64_t bytes);

  // Frees all allocations. If the last pass needed several blocks, they become one of the total size.
  void reset();

  uint64_t capacity_bytes() const;
  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  struct Block {
    AlignedBytes memory;
    uint64_t used_bytes = 0;
  };
  std::vector<Block> blocks_;
  uint64_t used_bytes_ = 0;
  uint64_t peak_bytes_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_BASE_ARENA_H_
