#include "cli/synth_weights.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "quant/block_format.h"

namespace tessera {
namespace {

constexpr int64_t kPoolElements = 1 << 17;  // packing K-quants with search takes about a microsecond per number
constexpr int64_t kPlainRun = 64;           // neighbours of the pool copied together for types without blocks

// SplitMix64 (Steele, Lea, Flood 2014): one multiply chain per draw, any seed is good.
struct SplitMix {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
};

}  // namespace

Result<RandomBlocks> RandomBlocks::create(DType dtype, float mean, float stddev, uint64_t seed) {
  const BlockFormat* format = block_format(dtype);
  if (format == nullptr || format->pack == nullptr)
    return unsupported("cannot write weights of type {}", to_string(dtype));
  const int block = dtype_info(dtype).block_elements;
  if (block < 1) return unsupported("{} stores whole rows, not blocks", to_string(dtype));

  RandomBlocks result;
  result.unit_elements_ = block;
  result.unit_bytes_ = *row_bytes(dtype, block);
  result.pool_.resize(kPoolElements / block * result.unit_bytes_);
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> gaussian(mean, stddev);
  std::vector<float> values(kPoolElements);
  for (float& v : values) v = gaussian(engine);
  format->pack(values.data(), nullptr, result.pool_.data(), static_cast<int64_t>(values.size()));
  return result;
}

void RandomBlocks::fill(uint64_t seed, int64_t elements, std::byte* out) const {
  SplitMix random{seed};
  const int64_t run = unit_elements_ == 1 ? kPlainRun : unit_elements_;
  const uint64_t places = pool_.size() / unit_bytes_ - run / unit_elements_ + 1;
  for (int64_t i = 0; i < elements; i += run) {
    const uint64_t bytes = std::min(run, elements - i) / unit_elements_ * unit_bytes_;
    std::memcpy(out, pool_.data() + random.next() % places * unit_bytes_, bytes);
    out += bytes;
  }
}

}  // namespace tessera
