// Probe: measures what this machine can do at most, in under 20 s: the limits that the kernels race against, that the
// planner predicts from and that `bench` divides by.
//
//   read bandwidth from memory, by threads and page size        decode: every weight is read once per step
//   multiply-add rate in f32, bf16, int8, per instruction       prefill
//   read bandwidth of each cache level                          how much tiling buys
//   core-to-core latency and its state (near, far)              explains two-thread bandwidth on virtual machines
//   one empty parallel section of the thread pool               fixed time per operation
//   the matrix kernels of this build, per weight type           what the program makes of the limits
#ifndef TESSERA_PROBE_PROBE_H_
#define TESSERA_PROBE_PROBE_H_

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "probe/cpu_times.h"
#include "probe/kernel_rates.h"
#include "probe/measure.h"

namespace tessera {

struct ProbeOptions {
  int threads = 0;            // most threads; 0: default_thread_count()
  int repetitions = 7;
  uint64_t buffer_bytes = 0;  // memory bandwidth; 0: max(512 MiB, 4 x last-level cache), at most a quarter of free memory
  bool kernels = true;
  std::function<bool()> go_on;  // asked every second or so; false ends the probe with kCancelled
};

struct LatencyResult {
  int cpu_a = 0, cpu_b = 0;
  std::vector<double> samples;  // ns one way
};

// What else ran during one stage of the probe.
struct StageLoad {
  std::string stage;
  double seconds = 0;
  CpuLoad load;
};

struct ProbeReport {
  MachineInfo machine;
  std::string time;  // ISO 8601, UTC
  double seconds = 0;
  CoreStateSample state_before, state_after;
  std::vector<BandwidthResult> memory;
  std::vector<CacheResult> caches;
  std::vector<PeakResult> peaks;
  std::vector<LatencyResult> latencies;
  std::vector<BarrierResult> barriers;
  std::vector<KernelRateResult> kernels;  // all threads
  std::vector<StageLoad> loads;           // in the order of the stages
};

// note: called with the name of each stage as it begins.
Result<ProbeReport> probe_machine(const ProbeOptions& options, const std::function<void(std::string_view)>& note);

// Thread counts worth measuring: 1, 2, 4, ... and `most`.
std::vector<int> probe_thread_counts(int most);

// What `bench` and the planner take from a report. Zero: not measured.
struct MachineLimits {
  double read_gb_per_s = 0;        // median over all samples of this thread count, the better page size
  double read_near_gb_per_s = 0;   // of the samples in that state
  double read_far_gb_per_s = 0;
  double f32_gops = 0, bf16_gops = 0, i8_gops = 0;  // best instruction
};
MachineLimits limits_of(const ProbeReport& report, int threads);

// Why the numbers may be wrong: other programs or virtual machines that were running, and samples of the same thing that
// differ. One sentence each; none for a quiet machine.
std::vector<std::string> disturbances_of(const ProbeReport& report);

// (Largest - smallest) / median over repeated samples of one kernel or of the memory in one core state: the worst of them,
// without the two most extreme samples where there are at least five.
double worst_spread(const ProbeReport& report, std::string* what = nullptr);

std::string probe_table(const ProbeReport& report);

// The measurements with medians and spread; probe_from_json reads what probe_to_json wrote (without machine details
// that nobody needs back) and names the key that is missing or wrong.
nlohmann::json probe_to_json(const ProbeReport& report);
Result<ProbeReport> probe_from_json(const nlohmann::json& json);

}  // namespace tessera

#endif  // TESSERA_PROBE_PROBE_H_
