// `tessera plan` without its flags: options in, a table, JSON or a page out. The verb, the server's /plan page and
// tests call it.
#ifndef TESSERA_PLANNER_PLAN_H_
#define TESSERA_PLANNER_PLAN_H_

#include <iosfwd>
#include <string>
#include <vector>

#include "planner/search.h"
#include "planner/simulate.h"

namespace tessera {

struct PlanOptions {
  std::string model;              // name, GGUF, folder or config.json
  std::string hardware = "this";  // shipped name, JSON file, or this machine
  std::vector<int64_t> chips, batches;
  std::vector<std::string> weight_types;
  std::string mesh, prefill_layout, decode_layout;
  std::string kv_type = "bf16";
  int64_t prompt_tokens = 512, generated_tokens = 128;
  int64_t max_chips = 0;  // 0: 256, or 16 machines
  std::string objective;  // latency, cost, balanced; empty: latency on CPUs, balanced elsewhere
  bool all_layouts = false;
  double max_prefill_seconds = 0, max_step_seconds = 0, max_memory_gib = 0, max_cost_per_million = 0;
  bool json = false;
  std::string html;       // file to write
  std::string check;      // results.json of bench: print residuals
  std::string calibrate;  // results.json: fit the constants, store them with the hardware file
  std::string gallery;    // folder to write the paper's figures to
  bool list = false;      // print the shipped models and hardware

  // Serving simulation, on when a rate or a trace is given.
  double requests_per_second = 0;
  int64_t requests = 2000;
  std::string prompt_lengths, output_lengths;  // workload.h; empty: prompt_tokens and generated_tokens, fixed
  std::string trace;
  int64_t replicas = 0;  // 0: the smallest fleet that meets the target
  int64_t prefill_replicas = 0;
  double target_ttft_seconds = 0, target_tpot_seconds = 0;
  uint64_t seed = 1;
};

struct SimulationReport {
  bool ran = false;
  bool searched = false;  // the fleet was searched for
  FleetSpec fleet;
  ServiceTarget target;
  SimulationResult result;
};

// Everything that the outputs show.
struct PlanReport {
  PlanRequest request;
  PlanResult result;
  std::vector<LayoutChoice> prefill_layouts, decode_layouts;  // of the recommendation's mesh, fastest first
  std::vector<Candidate> by_chips;                            // the fastest for each number of chips: "use k machines"
  SimulationReport simulation;
};

// A model and hardware are found by the options' names and paths, or given: then these names are not looked at, and no
// file is read but the trace.
struct PlanSubject {
  ModelShape model;
  HardwareSpec hardware;
};
Result<PlanSubject> find_subject(const PlanOptions& options);
Result<PlanRequest> plan_request(const PlanOptions& options, PlanSubject subject);
Result<PlanReport> make_plan(const PlanOptions& options, PlanSubject subject, const KeepGoing& keep_going = {});
Result<PlanReport> make_plan(const PlanOptions& options);

std::string plan_text(const PlanReport& report);
std::string plan_json(const PlanReport& report);
// `form`: HTML to stand above the recommendation, for a server.
std::string plan_html(const PlanReport& report, std::string_view form = "");
std::string error_text(const PlanReport& report);  // how far the times may be off, and why: "+-10 % (nine in ten, ...)"

// The whole verb.
Status plan_main(const PlanOptions& options, std::ostream& out);

// The paper's figures and tables redrawn beside its numbers: gallery.html.
Result<std::string> gallery_html();

// Residuals per phase of recorded benchmarks: the text of `plan --check`.
Result<std::string> check_results(const std::string& results_path, const HardwareSpec& hardware);

}  // namespace tessera

#endif  // TESSERA_PLANNER_PLAN_H_
