// Search: every way to run a model on a kind of hardware, the ones on the Pareto front of latency against cost, and one
// recommendation in a sentence.
#ifndef TESSERA_PLANNER_SEARCH_H_
#define TESSERA_PLANNER_SEARCH_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "planner/cost.h"
#include "planner/memory.h"

namespace tessera {

// Asked now and then during long work; false ends it.
using KeepGoing = std::function<bool()>;

enum class Objective {
  kLatency,   // shortest request; fewer chips when more gain less than 5 %
  kCost,      // least chip time per token
  kBalanced,  // least product of both
};

struct PlanRequest {
  ModelShape model;
  HardwareSpec hardware;
  NumberTypes types;                      // KV and activations; weight_type is the default of weight_types
  std::vector<std::string> weight_types;  // empty: as stored, or bf16 and int8
  std::vector<int64_t> chips;             // empty: 1, 2, 3 ... 8, 16 ... up to max_chips
  std::vector<int64_t> batches;           // empty: 1 to 1024 in powers of two
  int64_t max_chips = 256;
  int64_t prompt_tokens = 1920;
  int64_t generated_tokens = 128;
  std::optional<Mesh> mesh;
  std::optional<FfnLayout> prefill_layout, decode_layout;
  bool all_layouts = false;  // also those that the hardware's software does not implement
  bool pipelines = true;
  Objective objective = Objective::kBalanced;
  // Limits; 0 = none.
  double max_prefill_seconds = 0;   // time to first token
  double max_step_seconds = 0;      // time per output token
  double max_memory_bytes = 0;      // per chip; 0: the chip's usable memory
  double max_cost_per_million = 0;  // dollars per million generated tokens
  KeepGoing keep_going;             // asked before each candidate; empty: always
};

struct Candidate {
  int64_t batch = 1;
  std::string weight_type;
  Partition prefill_partition, decode_partition;  // same mesh and stages: the weights rest in one layout
  PassCost prefill, decode;
  MemoryUse memory;
  double max_context = 0;
  double request_seconds = 0;         // prefill + generated_tokens decode steps
  double chip_seconds_per_token = 0;  // per generated token, prefill included
  double dollars_per_million = 0;     // generated tokens; 0 when the price is unknown
  std::string refused;                // why it does not qualify; empty: it does
  int64_t chips() const { return decode_partition.chips(); }
};

struct PlanResult {
  std::vector<Candidate> candidates;  // that qualify
  std::vector<size_t> pareto;         // indices, fastest first
  std::optional<size_t> best, runner_up;
  std::string recommendation;  // one sentence, and a second on the runner-up
  int64_t tried = 0;
  std::string nearest_refusal;  // when nothing qualifies
  bool stopped = false;         // by keep_going
};

// The fastest layout of one pass on a mesh, or an error that says why none is possible.
struct LayoutChoice {
  Partition partition;
  PassCost cost;
};
Result<LayoutChoice> best_layout(const ModelShape& model, const HardwareSpec& hardware, const Partition& resting,
                                 const Pass& pass, const NumberTypes& types, bool all_layouts = false);
// All layouts of a pass on a mesh, fastest first: for the breakdown chart.
std::vector<LayoutChoice> layout_choices(const ModelShape& model, const HardwareSpec& hardware,
                                         const Partition& resting, const Pass& pass, const NumberTypes& types,
                                         bool all_layouts);

PlanResult search(const PlanRequest& request);

// Indices of points that no other point beats in both coordinates, by rising x.
std::vector<size_t> pareto_front(std::span<const std::pair<double, double>> points);

std::string format_seconds(double seconds);  // "12.3 ms"
std::string format_bytes(double bytes);      // "4.1 GiB"
std::string format_count(double count);      // "10.9 M"
std::string format_interval(double relative_error);  // "+-10 %", or "a factor of 3 either way"

}  // namespace tessera

#endif  // TESSERA_PLANNER_SEARCH_H_
