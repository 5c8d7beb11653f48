// Serving simulation: the scheduler of the engine (continuous batching, prefill in chunks beside running decodes, a KV
// budget), replicated, driven by a workload and timed by the cost model. Discrete events: one per engine step and
// arrival, so a million requests on a thousand replicas take seconds to minutes.
#ifndef TESSERA_PLANNER_SIMULATE_H_
#define TESSERA_PLANNER_SIMULATE_H_

#include <span>
#include <string>
#include <vector>

#include "planner/search.h"
#include "planner/workload.h"

namespace tessera {

// Step time of one replica, from tables filled by predict_pass: a step costs what its decode rows cost, or, with a
// prefill chunk on board, what all its rows cost together; both grow linearly with the cached tokens that are read.
class StepTimes {
 public:
  StepTimes(const ModelShape& model, const HardwareSpec& hardware, const Partition& prefill, const Partition& decode,
            const NumberTypes& types, int64_t max_batch, int64_t chunk_tokens);
  double seconds(int64_t decode_rows, double context_tokens, int64_t prefill_rows, double prefill_context) const;

 private:
  std::vector<double> decode_;        // by rows, context 0
  std::vector<double> decode_slope_;  // per cached token of one sequence at that many rows
  std::vector<double> prefill_;       // by rows
  double prefill_slope_ = 0;          // per row and cached token before the chunk
};

struct FleetSpec {
  int64_t replicas = 1;          // that prefill and decode
  int64_t prefill_replicas = 0;  // > 0: split; then `replicas` only decode, and the cache travels
  int64_t max_batch = 64;
  int64_t chunk_tokens = 512;
  double kv_tokens = 1e18;  // per replica
  double chips_per_replica = 1;
  double dollars_per_chip_hour = 0;
  double handover_seconds_per_token = 0;  // split: cache bytes per token over the link
};

struct ServiceTarget {
  double ttft_seconds = 0, tpot_seconds = 0;  // 0 = none
  double quantile = 0.95;                     // this share of requests must meet both
};

struct Percentiles {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};
Percentiles percentiles(std::vector<float>* values);  // sorts

struct SimulationResult {
  int64_t requests = 0, refused = 0;  // refused: longer than a replica's cache
  double seconds = 0;                 // from the first arrival to the last token
  Percentiles ttft, tpot, request;    // TPOT: (last - first token) / (output - 1), decode only
  Percentiles chip_seconds;           // per request: equal share of each step among the sequences on board
  double output_tokens_per_second = 0;
  double goodput_per_second = 0;  // requests that met the target
  double met = 0;                 // share of requests that met it
  double busy = 0;                // share of replica time spent in steps
  double mean_batch = 0;
  double dollars_per_million = 0;  // output tokens, idle time included
  int64_t steps = 0;
  bool stopped = false;  // by keep_going, with nothing of the above
};

SimulationResult simulate(const StepTimes& times, const FleetSpec& fleet, std::span<const RequestSpec> requests,
                          const ServiceTarget& target, const KeepGoing& keep_going = {});

// The fewest replicas that meet the target (0 when `most` do not). Split fleets keep the ratio of the given fleet.
struct FleetAnswer {
  int64_t replicas = 0, prefill_replicas = 0;
  SimulationResult result;
  bool stopped = false;  // by keep_going
};
FleetAnswer smallest_fleet(const StepTimes& times, FleetSpec fleet, std::span<const RequestSpec> requests,
                           const ServiceTarget& target, int64_t most = 4096, const KeepGoing& keep_going = {});

}  // namespace tessera

#endif  // TESSERA_PLANNER_SIMULATE_H_
