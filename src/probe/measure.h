// The measurements of `tessera probe`, one function per kind. Each takes several samples and returns them all: the
// report shows the spread, not only a number.
#ifndef TESSERA_PROBE_MEASURE_H_
#define TESSERA_PROBE_MEASURE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "probe/core_latency.h"
#include "probe/loops.h"
#include "probe/machine.h"

namespace tessera {

// A buffer of at least `least` bytes that is four times the last-level cache, within a quarter of the memory that is free.
uint64_t memory_buffer_bytes(const MachineInfo& machine, uint64_t least);

struct StateSample {
  double value = 0;
  CoreState state = CoreState::kUnknown;
};

std::vector<double> values_of(std::span<const StateSample> samples);
// Only those taken in one state.
std::vector<double> values_of(std::span<const StateSample> samples, CoreState state);

// Read bandwidth from memory far larger than the caches, GB/s (1e9).
struct BandwidthResult {
  int threads = 1;
  bool huge_pages = false;
  std::vector<StateSample> samples;
};
Result<std::vector<BandwidthResult>> measure_memory_bandwidth(const MachineInfo& machine,
                                                              std::span<const int> thread_counts, uint64_t buffer_bytes,
                                                              int repetitions);

// Read bandwidth from half of each cache level.
struct CacheResult {
  int level = 1;
  uint64_t working_set_bytes = 0;  // over all threads
  int threads = 1;
  std::vector<double> samples;  // GB/s over all threads
};
Result<std::vector<CacheResult>> measure_cache_bandwidth(const MachineInfo& machine, std::span<const int> thread_counts,
                                                         int repetitions);

// Multiply-add rate from registers, 1e9 operations per second.
struct PeakResult {
  std::string instruction;
  PeakType type = PeakType::kF32;
  int threads = 1;
  std::vector<double> samples;
};
std::vector<PeakResult> measure_peaks(std::span<const int> thread_counts, int repetitions);

// Cost of one empty parallel section of the thread pool, ns, each sample an average of 1000 in a row.
struct BarrierResult {
  int threads = 1;
  std::vector<double> samples;
};
std::vector<BarrierResult> measure_barriers(std::span<const int> thread_counts, int repetitions);

}  // namespace tessera

#endif  // TESSERA_PROBE_MEASURE_H_
