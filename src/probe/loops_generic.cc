// Portable loops: what the compiler makes of plain code for the base instruction set. The vector types are a GCC and clang
// extension; 16 bytes exist on every 64-bit target.
#include <cstring>

#include "probe/loops.h"

namespace tessera {
namespace {

typedef float F32x4 __attribute__((vector_size(16)));
typedef uint64_t U64x2 __attribute__((vector_size(16)));
constexpr int kAccumulators = 10;

}  // namespace

double peak_f32_generic(int64_t iterations) {
  F32x4 acc[kAccumulators] = {};
  F32x4 a = {1e-3f, 1e-3f, 1e-3f, 1e-3f}, b = {1e-4f, 1e-4f, 1e-4f, 1e-4f};
  asm volatile("" : "+m"(a), "+m"(b));
  for (int64_t i = 0; i < iterations; ++i) {
    for (int k = 0; k < kAccumulators; ++k) acc[k] = acc[k] * a + b;
  }
  for (int k = 0; k < kAccumulators; ++k) asm volatile("" : : "m"(acc[k]));
  return static_cast<double>(iterations) * kAccumulators * 4 * 2;
}

void read_generic(const std::byte* data, uint64_t bytes) {
  U64x2 acc[8] = {};
  for (uint64_t i = 0; i < bytes; i += 128) {
    for (int k = 0; k < 8; ++k) {
      U64x2 v;
      std::memcpy(&v, data + i + k * 16, 16);
      acc[k] |= v;
    }
  }
  for (int k = 0; k < 8; ++k) asm volatile("" : : "m"(acc[k]));
}

}  // namespace tessera
