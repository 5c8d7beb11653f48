#include "planner/plan.h"

#include <algorithm>
#include <ostream>

#include "base/pending_file.h"
#include "planner/calibrate.h"
#include "planner/json_fields.h"
#include "planner/resolve.h"

namespace tessera {
namespace {

Result<Objective> parse_objective(const std::string& text, const HardwareSpec& hardware) {
  if (text.empty()) return hardware.compute_in_int8 ? Objective::kLatency : Objective::kBalanced;
  if (text == "latency") return Objective::kLatency;
  if (text == "cost") return Objective::kCost;
  if (text == "balanced") return Objective::kBalanced;
  return invalid_argument("objective '{}': expected latency, cost or balanced", text);
}

Status check_options(const PlanOptions& o) {
  constexpr int64_t kMost = 1 << 30;
  const auto in_range = [](const std::vector<int64_t>& list) {
    return std::all_of(list.begin(), list.end(), [](int64_t v) { return v >= 1 && v <= 1 << 20; });
  };
  if (!in_range(o.chips)) return invalid_argument("chips: expected 1 to 1048576");
  if (!in_range(o.batches)) return invalid_argument("batch: expected 1 to 1048576");
  if (o.prompt_tokens < 1 || o.prompt_tokens > kMost)
    return invalid_argument("prompt: expected 1 to {}, found {}", kMost, o.prompt_tokens);
  if (o.generated_tokens < 0 || o.generated_tokens > kMost)
    return invalid_argument("generate: expected 0 to {}, found {}", kMost, o.generated_tokens);
  if (o.requests < 1 || o.requests > 20'000'000)
    return invalid_argument("requests: expected 1 to 20000000, found {}", o.requests);
  return Status();
}

// Without limits except memory: what more machines would do.
PlanResult search_without_limits(PlanRequest request) {
  request.max_prefill_seconds = request.max_step_seconds = request.max_cost_per_million = 0;
  return search(request);
}

std::vector<Candidate> fastest_by_chips(const PlanResult& all) {
  std::vector<Candidate> best;
  for (const Candidate& c : all.candidates) {
    auto it = std::find_if(best.begin(), best.end(), [&](const Candidate& b) { return b.chips() == c.chips(); });
    if (it == best.end()) {
      best.push_back(c);
    } else if (c.request_seconds < it->request_seconds) {
      *it = c;
    }
  }
  std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) { return a.chips() < b.chips(); });
  return best;
}

// Every layout on every mesh of as many chips, fastest first.
std::vector<LayoutChoice> layouts_of(const PlanRequest& r, const Candidate& best, const NumberTypes& types,
                                     const Pass& pass) {
  std::vector<LayoutChoice> all;
  Partition resting = best.decode_partition;
  std::vector<Mesh> meshes = candidate_meshes(r.hardware, resting.mesh.size());
  if (std::find(meshes.begin(), meshes.end(), resting.mesh) == meshes.end()) meshes = {resting.mesh};
  for (const Mesh& mesh : meshes) {
    resting.mesh = mesh;
    const auto choices = layout_choices(r.model, r.hardware, resting, pass, types, true);
    all.insert(all.end(), choices.begin(), choices.end());
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.cost.total < b.cost.total; });
  if (all.size() > 12) all.resize(12);
  return all;
}

Result<std::vector<RequestSpec>> workload(const PlanOptions& o) {
  if (!o.trace.empty()) {
    TESSERA_ASSIGN_OR_RETURN(const std::string text, read_text_file(o.trace, size_t{1} << 30));
    return parse_trace(text, o.trace);
  }
  WorkloadSpec spec;
  spec.requests_per_second = o.requests_per_second;
  spec.requests = o.requests;
  spec.seed = o.seed;
  const auto lengths = [](const std::string& text, int64_t tokens) {
    return parse_length_distribution(text.empty() ? fmt::format("{}", std::max<int64_t>(1, tokens)) : text);
  };
  TESSERA_ASSIGN_OR_RETURN(spec.prompt, lengths(o.prompt_lengths, o.prompt_tokens));
  TESSERA_ASSIGN_OR_RETURN(spec.output, lengths(o.output_lengths, o.generated_tokens));
  return poisson_workload(spec);
}

Status stopped() {
  return resource_exhausted("the search takes too long: name fewer chips, batches, weight types or requests");
}

Result<SimulationReport> simulate_service(const PlanOptions& o, const PlanRequest& request, const Candidate& best) {
  SimulationReport report;
  TESSERA_ASSIGN_OR_RETURN(const std::vector<RequestSpec> requests, workload(o));
  NumberTypes types = request.types;
  types.weight_type =
      request.model.stored_stack_bytes > 0 && best.weight_type == request.model.stored_type ? "" : best.weight_type;
  FleetSpec& fleet = report.fleet;
  fleet.max_batch = std::max<int64_t>(best.batch, 64);
  fleet.chips_per_replica = static_cast<double>(best.chips());
  fleet.dollars_per_chip_hour = request.hardware.cost_per_chip_hour;
  fleet.prefill_replicas = o.prefill_replicas;
  fleet.replicas = std::max<int64_t>(1, o.replicas);
  const double usable = request.hardware.memory_bytes * request.hardware.usable_memory_fraction;
  const double per_token =
      kv_bytes_per_context_token(request.model, best.decode_partition, fleet.max_batch, types.kv_element_bytes) /
      static_cast<double>(fleet.max_batch);
  fleet.kv_tokens = std::max(0.0, (usable - best.memory.total() + best.memory.kv) / std::max(1.0, per_token));
  const double link = request.hardware.network.node_bandwidth > 0 ? request.hardware.network.node_bandwidth
                                                                  : request.hardware.network.link_bandwidth;
  if (link > 0)
    fleet.handover_seconds_per_token =
        kv_bytes_per_token(request.model, types.kv_element_bytes) / link / fleet.chips_per_replica;
  // A chunk or a small step cannot use weight-gathered layouts or attention over batch.
  Partition steady = best.decode_partition;
  if (steady.ffn != FfnLayout::kWs1d) steady.ffn = steady.mesh.x > 1 ? FfnLayout::kWs2d : FfnLayout::kWs1d;
  Partition prefill = steady;
  prefill.attention = AttentionLayout::kHeads;
  const StepTimes times(request.model, request.hardware, prefill, steady, types, fleet.max_batch, fleet.chunk_tokens);
  report.target = {o.target_ttft_seconds, o.target_tpot_seconds, 0.95};
  report.ran = true;
  if (o.replicas > 0) {
    report.result = simulate(times, fleet, requests, report.target, request.keep_going);
    if (report.result.stopped) return stopped();
    return report;
  }
  report.searched = true;
  const FleetAnswer answer = smallest_fleet(times, fleet, requests, report.target, 4096, request.keep_going);
  if (answer.stopped) return stopped();
  if (answer.replicas == 0)
    return resource_exhausted("no fleet of up to 4096 replicas meets the target for 95 % of requests");
  fleet.replicas = answer.replicas;
  fleet.prefill_replicas = answer.prefill_replicas;
  report.result = answer.result;
  return report;
}

Status calibrate_to(const PlanOptions& o, const HardwareSpec& hardware, std::ostream& out) {
  TESSERA_ASSIGN_OR_RETURN(const std::string text, read_text_file(o.calibrate));
  TESSERA_ASSIGN_OR_RETURN(const std::vector<BenchRecord> records, parse_bench_results(text, o.calibrate));
  std::vector<MeasuredPoint> points;
  for (const BenchRecord& r : records) points.push_back(r.point);
  const FittedSet set = hardware.kernels.empty() ? FittedSet::kOneMachine : FittedSet::kProbed;
  TESSERA_ASSIGN_OR_RETURN(HardwareSpec fitted, calibrate(hardware, points, set));
  fitted.calibration.note = fmt::format("fitted to {}", o.calibrate);
  const bool is_file = o.hardware.ends_with(".json");
  const std::string path = is_file ? o.hardware : probed_hardware_path();
  TESSERA_RETURN_IF_ERROR(save_hardware(fitted, path));
  out << fmt::format(
      "Fitted to {} points: {:.1f} % RMS, leave-one-out {:.1f} % RMS, 90 % within {:.1f} %. Stored in {}.\n",
      points.size(), 100 * fitted.calibration.rms, 100 * fitted.calibration.leave_one_out_rms,
      100 * fitted.calibration.leave_one_out_p90, path);
  return Status();
}

void print_lists(std::ostream& out) {
  out << "Hardware:\n  this\n";
  for (const std::string& name : shipped_hardware()) out << "  " << name << "\n";
  out << "Models:\n";
  for (const std::string& name : shipped_models()) {
    const auto m = find_shipped_model(name);
    if (m.ok()) out << fmt::format("  {:<30} {:>7.2f} B parameters\n", name, total_params(*m) / 1e9);
  }
}

}  // namespace

Result<PlanSubject> find_subject(const PlanOptions& o) {
  PlanSubject subject;
  if (o.model.empty())
    return invalid_argument("no model: expected a GGUF file, a folder, a config.json or a name (--list shows them)");
  TESSERA_ASSIGN_OR_RETURN(subject.model, resolve_model(o.model));
  TESSERA_ASSIGN_OR_RETURN(subject.hardware, find_hardware(o.hardware));
  return subject;
}

Result<PlanRequest> plan_request(const PlanOptions& o, PlanSubject subject) {
  TESSERA_RETURN_IF_ERROR(check_options(o));
  PlanRequest r;
  r.model = std::move(subject.model);
  r.hardware = std::move(subject.hardware);
  TESSERA_ASSIGN_OR_RETURN(r.objective, parse_objective(o.objective, r.hardware));
  TESSERA_ASSIGN_OR_RETURN(r.types.kv_element_bytes, r.hardware.compute_in_int8
                                                         ? page_element_bytes(o.kv_type, r.model.head_dim)
                                                         : bytes_per_weight(o.kv_type));
  for (const std::string& type : o.weight_types) {
    TESSERA_RETURN_IF_ERROR(bytes_per_weight(type).status());
  }
  r.weight_types = o.weight_types;
  r.chips = o.chips;
  r.batches = o.batches;
  if (r.batches.empty() && r.hardware.compute_in_int8) r.batches = {1};
  r.max_chips = o.max_chips > 0 ? o.max_chips : r.hardware.compute_in_int8 ? 16 : 256;
  r.prompt_tokens = o.prompt_tokens;
  r.generated_tokens = o.generated_tokens;
  r.all_layouts = o.all_layouts;
  if (!o.mesh.empty()) {
    TESSERA_ASSIGN_OR_RETURN(r.mesh, parse_mesh(o.mesh));
    if (r.chips.empty()) r.chips = {r.mesh->size()};
  }
  if (!o.prefill_layout.empty()) {
    TESSERA_ASSIGN_OR_RETURN(r.prefill_layout, parse_ffn_layout(o.prefill_layout));
  }
  if (!o.decode_layout.empty()) {
    TESSERA_ASSIGN_OR_RETURN(r.decode_layout, parse_ffn_layout(o.decode_layout));
  }
  r.max_prefill_seconds = o.max_prefill_seconds;
  r.max_step_seconds = o.max_step_seconds;
  r.max_memory_bytes = o.max_memory_gib * 1073741824.0;
  r.max_cost_per_million = o.max_cost_per_million;
  return r;
}

Result<PlanReport> make_plan(const PlanOptions& o) {
  TESSERA_RETURN_IF_ERROR(check_options(o));
  TESSERA_ASSIGN_OR_RETURN(PlanSubject subject, find_subject(o));
  return make_plan(o, std::move(subject));
}

Result<PlanReport> make_plan(const PlanOptions& o, PlanSubject subject, const KeepGoing& keep_going) {
  PlanReport report;
  TESSERA_ASSIGN_OR_RETURN(report.request, plan_request(o, std::move(subject)));
  report.request.keep_going = keep_going;
  const PlanRequest& r = report.request;
  report.result = search(r);
  if (report.result.stopped) return stopped();
  const PlanResult open = search_without_limits(r);
  if (open.stopped) return stopped();
  report.by_chips = fastest_by_chips(open);
  if (!report.result.best) return report;
  const Candidate& best = report.result.candidates[*report.result.best];
  NumberTypes types = r.types;
  types.weight_type = r.model.stored_stack_bytes > 0 && best.weight_type == r.model.stored_type ? "" : best.weight_type;
  report.prefill_layouts = layouts_of(r, best, types, {best.batch, r.prompt_tokens, 0});
  report.decode_layouts = layouts_of(r, best, types, {best.batch, 1, r.prompt_tokens + r.generated_tokens / 2});
  if (o.requests_per_second > 0 || !o.trace.empty()) {
    TESSERA_ASSIGN_OR_RETURN(report.simulation, simulate_service(o, r, best));
  }
  return report;
}

Status plan_main(const PlanOptions& o, std::ostream& out) {
  if (o.list) {
    print_lists(out);
    return Status();
  }
  if (!o.gallery.empty()) {
    TESSERA_ASSIGN_OR_RETURN(const std::string html, gallery_html());
    TESSERA_RETURN_IF_ERROR(write_file(o.gallery, html));
    out << "Wrote " << o.gallery << "\n";
    return Status();
  }
  if (!o.check.empty() || !o.calibrate.empty()) {
    TESSERA_ASSIGN_OR_RETURN(const HardwareSpec hardware, find_hardware(o.hardware));
    if (!o.calibrate.empty()) return calibrate_to(o, hardware, out);
    TESSERA_ASSIGN_OR_RETURN(const std::string text, check_results(o.check, hardware));
    out << text;
    return Status();
  }
  TESSERA_ASSIGN_OR_RETURN(const PlanReport report, make_plan(o));
  out << (o.json ? plan_json(report) : plan_text(report));
  if (!o.html.empty()) {
    TESSERA_RETURN_IF_ERROR(write_file(o.html, plan_html(report)));
    if (!o.json) out << "\nWrote " << o.html << "\n";
  }
  return Status();
}

}  // namespace tessera
