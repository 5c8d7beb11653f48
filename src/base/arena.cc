#include "base/arena.h"

#include <algorithm>

#include "base/math.h"
#include "base/sanitizers.h"

namespace tessera {
namespace {

// Address space; what is not touched takes no memory. Large enough that a pass of 512 tokens through a model of some
// billion weights fits into one block, in 2 MiB pages from its first use on. AddressSanitizer watches the ends of blocks
// that come from the heap, that is of small ones.
constexpr uint64_t kMinBlockBytes = kAddressSanitized ? 1u << 20 : 32u << 20;

}  // namespace

std::byte* Arena::allocate_bytes(uint64_t bytes) {
  bytes = round_up(std::max<uint64_t>(bytes, 1), kCacheLineBytes);
  const auto room = [&] { return blocks_[current_].memory.size() - blocks_[current_].used_bytes; };
  while (current_ < blocks_.size() && room() < bytes) ++current_;
  if (current_ == blocks_.size()) blocks_.push_back({AlignedBytes(std::max(bytes, kMinBlockBytes)), 0});
  Block& block = blocks_[current_];
  std::byte* result = block.memory.data() + block.used_bytes;
  block.used_bytes += bytes;
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return result;
}

Arena::Mark Arena::mark() const {
  if (current_ >= blocks_.size()) return {current_, 0, used_bytes_};
  return {current_, blocks_[current_].used_bytes, used_bytes_};
}

void Arena::rewind(const Mark& mark) {
  for (size_t i = mark.block; i < blocks_.size(); ++i) blocks_[i].used_bytes = i == mark.block ? mark.block_used_bytes : 0;
  current_ = mark.block;
  used_bytes_ = mark.used_bytes;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    // Skipped block ends count too: the sum of the blocks is enough for the same pass again.
    const uint64_t bytes = capacity_bytes();
    blocks_.clear();
    blocks_.push_back({AlignedBytes(bytes), 0});
  }
  rewind({});
}

uint64_t Arena::capacity_bytes() const {
  uint64_t total = 0;
  for (const Block& block : blocks_) total += block.memory.size();
  return total;
}

}  // namespace tessera
