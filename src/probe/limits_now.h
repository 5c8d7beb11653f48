// The limits of this moment, in half a second: on a shared machine they change from second to second, and a rate says little
// unless they were read beside it.
#ifndef TESSERA_PROBE_LIMITS_NOW_H_
#define TESSERA_PROBE_LIMITS_NOW_H_

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "probe/core_latency.h"
#include "probe/loops.h"

namespace tessera {

// One pass over `data` by all threads of the pool, 1e9 bytes per second.
double read_gb_per_s(ThreadPool& pool, const AlignedBytes& data);

// The widest loop of `type` that the processor runs (f32 where it has none), on all threads of the pool, 1e9 operations per
// second.
double peak_gops(ThreadPool& pool, PeakType type, int64_t iterations);

struct LimitsNow {
  CoreStateSample state;
  double read_one_gb_per_s = 0;  // one thread
  double read_gb_per_s = 0;      // all threads
  double i8_gops = 0, bf16_gops = 0, f32_gops = 0;
};

// Medians of some passes of each. threads <= 0: default_thread_count().
LimitsNow measure_limits_now(int threads);

}  // namespace tessera

#endif  // TESSERA_PROBE_LIMITS_NOW_H_
