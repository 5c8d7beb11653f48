// What this machine can do, measured in the same run as the kernels that are compared with it.
#ifndef TESSERA_BENCH_MACHINE_LIMITS_H_
#define TESSERA_BENCH_MACHINE_LIMITS_H_

#include <cstddef>

namespace tessera::bench {

// Loops of one thread; each returns something that depends on all the work.
long read_bytes(const std::byte* data, size_t bytes);  // sums, 64 bytes a load
float int8_loop(long iterations);                      // 16 x vpdpbusd zmm: 2 * 64 * 16 operations an iteration
float bf16_loop(long iterations);                      // 16 x vdpbf16ps zmm: 2 * 32 * 16
float f32_loop(long iterations);                       // 16 x vfmadd zmm: 2 * 16 * 16

}  // namespace tessera::bench

#endif  // TESSERA_BENCH_MACHINE_LIMITS_H_
