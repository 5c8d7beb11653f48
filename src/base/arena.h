// Arena: scratch memory of one forward pass. Allocation moves a pointer; an ArenaScope gives back what was taken since it
// was opened (one scope per block: all layers share the same scratch); reset() gives back everything. The memory itself is
// kept, so that after the first steps (warm-up) a step allocates nothing. One thread only.
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
  struct Mark {
    size_t block = 0;
    uint64_t block_used_bytes = 0;
    uint64_t used_bytes = 0;
  };

  // Uninitialised memory, aligned to 64 bytes, valid until reset() or rewind() to an earlier mark.
  template <class T>
  std::span<T> allocate(int64_t count) {
    return {reinterpret_cast<T*>(allocate_bytes(static_cast<uint64_t>(count) * sizeof(T))), static_cast<size_t>(count)};
  }
  std::byte* allocate_bytes(uint64_t bytes);

  Mark mark() const;
  void rewind(const Mark& mark);

  // Frees all allocations. If the last pass needed several blocks, they become one that holds its peak.
  void reset();

  uint64_t capacity_bytes() const;
  uint64_t peak_bytes() const { return peak_bytes_; }

 private:
  struct Block {
    AlignedBytes memory;
    uint64_t used_bytes = 0;
  };
  std::vector<Block> blocks_;
  size_t current_ = 0;  // blocks_[current_] is being filled; later ones are empty
  uint64_t used_bytes_ = 0;
  uint64_t peak_bytes_ = 0;
};

class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.rewind(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

}  // namespace tessera

#endif  // TESSERA_BASE_ARENA_H_
