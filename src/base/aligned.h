// AlignedBytes: owned memory aligned to a cache line, or to 2 MiB with huge pages requested where that pays
// (large allocations: weights, KV pages). Zeroed by the operating system when large, uninitialised when small.
#ifndef TESSERA_BASE_ALIGNED_H_
#define TESSERA_BASE_ALIGNED_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/status.h"

namespace tessera {

inline constexpr uint64_t kCacheLineBytes = 64;

class AlignedBytes {
 public:
  AlignedBytes() = default;
  // Fails the process (bad_alloc) like any small allocation when there is no memory; for sizes that input
  // controls use try_allocate.
  explicit AlignedBytes(uint64_t bytes);
  // kResourceExhausted, naming the size, when the system refuses.
  static Result<AlignedBytes> try_allocate(uint64_t bytes);
  ~AlignedBytes();

  AlignedBytes(AlignedBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), mapped_(other.mapped_) {}
  AlignedBytes& operator=(AlignedBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  static bool allocate(uint64_t bytes, AlignedBytes* out);

  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  bool mapped_ = false;  // from mmap (2 MiB aligned) rather than aligned_alloc
};

}  // namespace tessera

#endif  // TESSERA_BASE_ALIGNED_H_
