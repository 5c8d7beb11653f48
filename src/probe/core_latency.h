// Core-to-core latency: two pinned threads bounce a cache line. On virtual machines the processors move between
// physical cores: near (one shared last-level cache) and far (two), which changes what two threads get from memory by
// more than half. A benchmark sample without this label cannot be compared with another.
#ifndef TESSERA_PROBE_CORE_LATENCY_H_
#define TESSERA_PROBE_CORE_LATENCY_H_

#include <string_view>
#include <vector>

namespace tessera {

enum class CoreState { kUnknown, kNear, kFar };
std::string_view to_string(CoreState state);  // "unknown", "near", "far"

// One-way hand-over times in nanoseconds, one value per batch of 64 round trips, for about `seconds`. Empty when the
// threads could not be pinned.
std::vector<double> ping_pong_ns(int cpu_a, int cpu_b, double seconds);

// 80 ns divides the two groups: within one core complex or die 20-60, across dies or sockets 100-300.
CoreState core_state_of(double one_way_ns);

struct CoreStateSample {
  CoreState state = CoreState::kUnknown;
  double one_way_ns = 0;
};

// The state now, of the first two processors of `cpus`, in about 3 ms. kUnknown with fewer than two.
CoreStateSample sample_core_state(const std::vector<int>& cpus);

// The label of a measurement between two samples: their state when they agree, else kUnknown.
CoreState combine(const CoreStateSample& before, const CoreStateSample& after);

}  // namespace tessera

#endif  // TESSERA_PROBE_CORE_LATENCY_H_
