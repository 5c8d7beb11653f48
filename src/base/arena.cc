#include "base/arena.h"

#include <algorithm>

#include "base/math.h"

namespace tessera {
namespace {

constexpr uint64_t kMinBlockBytes = 1u << 20;

}  // namespace

std::byte* Arena::allocate_bytes(uint64_t bytes) {
  bytes = round_up(std::max<uint64_t>(bytes, 1), kCacheLineBytes);
  if (blocks_.empty() || blocks_.back().memory.size() - blocks_.back().used_bytes < bytes) {
    blocks_.push_back({AlignedBytes(std::max(bytes, kMinBlockBytes)), 0});
  }
  Block& block = blocks_.back();
  std::byte* result = block.memory.data() + block.used_bytes;
  block.used_bytes += bytes;
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return result;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    blocks_.clear();
    blocks_.push_back({AlignedBytes(round_up(peak_bytes_, kMinBlockBytes)), 0});
  }
  if (!blocks_.empty()) blocks_.back().used_bytes = 0;
  used_bytes_ = 0;
}

uint64_t Arena::capacity_bytes() const {
  uint64_t total = 0;
  for (const Block& block : blocks_) total += block.memory.size();
  return total;
}

}  // namespace tessera
