#include "planner/search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera {
namespace {

std::vector<FfnLayout> allowed_layouts(const HardwareSpec& hardware, bool all) {
  std::vector<FfnLayout> layouts;
  if (!all) {
    for (const std::string& name : hardware.layouts) {
      const auto layout = parse_ffn_layout(name);
      if (layout.ok()) layouts.push_back(*layout);
    }
  }
  if (layouts.empty())
    layouts = {FfnLayout::kWs1d, FfnLayout::kWs2d, FfnLayout::kWgX, FfnLayout::kWgXy, FfnLayout::kWgXyz};
  return layouts;
}

std::vector<int64_t> chip_counts(const PlanRequest& r) {
  if (!r.chips.empty()) return r.chips;
  const int64_t most = std::min(r.max_chips, std::max<int64_t>(1, r.hardware.network.max_chips));
  std::vector<int64_t> counts;
  for (int64_t n = 1; n <= most; n = n < 8 && r.hardware.network.kind == NetworkKind::kSwitch ? n + 1 : n * 2)
    counts.push_back(n);
  return counts;
}

std::vector<int64_t> batches(const PlanRequest& r) {
  if (!r.batches.empty()) return r.batches;
  std::vector<int64_t> list;
  for (int64_t b = 1; b <= 1024; b *= 2) list.push_back(b);
  return list;
}

std::vector<std::string> weight_types(const PlanRequest& r) {
  if (!r.weight_types.empty()) return r.weight_types;
  if (r.model.stored_stack_bytes > 0) return {""};
  return {"bf16", "int8"};
}

// Meshes and pipeline depths for n chips: where the weights rest.
std::vector<Partition> resting_partitions(const PlanRequest& r, int64_t chips) {
  std::vector<Partition> list;
  for (int64_t stages = 1; stages <= chips && stages <= r.model.layers; ++stages) {
    if (chips % stages != 0 || (stages > 1 && !r.pipelines)) continue;
    // A torus is not cut into stages: its slices are used whole, as the paper does.
    if (stages > 1 && r.hardware.network.kind == NetworkKind::kTorus) continue;
    for (const Mesh& mesh : r.mesh ? std::vector<Mesh>{*r.mesh} : candidate_meshes(r.hardware, chips / stages)) {
      if (mesh.size() * stages != chips) continue;
      Partition p;
      p.mesh = mesh;
      p.pipeline_stages = stages;
      list.push_back(p);
      if (r.model.experts > 0 && mesh.size() > 1 && mesh.size() <= r.model.experts) {
        p.expert_parallel = true;
        list.push_back(p);
      }
    }
  }
  return list;
}

void price(const PlanRequest& r, Candidate* c) {
  const double steps = static_cast<double>(r.generated_tokens);
  c->request_seconds = c->prefill.total + steps * c->decode.total;
  const double generated = std::max(1.0, steps) * static_cast<double>(c->batch);
  c->chip_seconds_per_token = static_cast<double>(c->chips()) * c->request_seconds / generated;
  c->dollars_per_million = c->chip_seconds_per_token * 1e6 * r.hardware.cost_per_chip_hour / 3600;
}

std::string refusal(const PlanRequest& r, const Candidate& c) {
  const double usable =
      r.max_memory_bytes > 0 ? r.max_memory_bytes : r.hardware.memory_bytes * r.hardware.usable_memory_fraction;
  if (c.memory.total() > usable)
    return fmt::format("{} chips, batch {}: {} per chip, {} usable", c.chips(), c.batch, format_bytes(c.memory.total()),
                       format_bytes(usable));
  if (r.max_prefill_seconds > 0 && c.prefill.total > r.max_prefill_seconds)
    return fmt::format("first token after {}, limit {}", format_seconds(c.prefill.total),
                       format_seconds(r.max_prefill_seconds));
  if (r.max_step_seconds > 0 && c.decode.total > r.max_step_seconds)
    return fmt::format("{} per token, limit {}", format_seconds(c.decode.total), format_seconds(r.max_step_seconds));
  if (r.max_cost_per_million > 0 && c.dollars_per_million > r.max_cost_per_million)
    return fmt::format("${:.2f} per million tokens, limit ${:.2f}", c.dollars_per_million, r.max_cost_per_million);
  return "";
}

Result<Candidate> evaluate(const PlanRequest& r, const Partition& resting, const std::string& type, int64_t batch) {
  Candidate c;
  c.batch = batch;
  c.weight_type = type.empty() ? r.model.stored_type : type;
  NumberTypes types = r.types;
  types.weight_type = type;
  const auto pick = [&](const std::optional<FfnLayout>& fixed, const Pass& pass) -> Result<LayoutChoice> {
    const auto choices = layout_choices(r.model, r.hardware, resting, pass, types, r.all_layouts || fixed.has_value());
    for (const LayoutChoice& choice : choices) {
      if (!fixed || choice.partition.ffn == *fixed || resting.mesh.size() == 1) return choice;
    }
    return invalid_argument("no layout of {} fits batch {}", to_string(resting.mesh), batch);
  };
  TESSERA_ASSIGN_OR_RETURN(const LayoutChoice prefill, pick(r.prefill_layout, {batch, r.prompt_tokens, 0}));
  TESSERA_ASSIGN_OR_RETURN(const LayoutChoice decode,
                           pick(r.decode_layout, {batch, 1, r.prompt_tokens + r.generated_tokens / 2}));
  c.prefill_partition = prefill.partition;
  c.decode_partition = decode.partition;
  c.prefill = prefill.cost;
  c.decode = decode.cost;
  const MemoryRequest request{batch, r.prompt_tokens + r.generated_tokens,
                              r.hardware.compute_in_int8 ? kEngineChunkTokens : 2048};
  const MemoryUse in_prefill = memory_per_chip(r.model, r.hardware, prefill.partition, types, request);
  c.memory = memory_per_chip(r.model, r.hardware, decode.partition, types, request);
  c.memory.scratch = std::max(c.memory.scratch, in_prefill.scratch);
  c.memory.transport = std::max(c.memory.transport, in_prefill.transport);
  price(r, &c);
  c.refused = refusal(r, c);
  return c;
}

double score(Objective objective, const Candidate& c) {
  if (objective == Objective::kLatency) return c.request_seconds;
  if (objective == Objective::kCost) return c.chip_seconds_per_token;
  return c.request_seconds * c.chip_seconds_per_token;
}

void choose(const PlanRequest& r, PlanResult* result) {
  std::vector<size_t> order(result->candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto by_score = [&](size_t a, size_t b) {
    return score(r.objective, result->candidates[a]) < score(r.objective, result->candidates[b]);
  };
  std::stable_sort(order.begin(), order.end(), by_score);
  if (order.empty()) return;
  result->best = order[0];
  if (r.objective == Objective::kLatency) {
    const double limit = 1.05 * score(r.objective, result->candidates[order[0]]);
    for (const size_t i : order) {
      const Candidate& c = result->candidates[i];
      if (score(r.objective, c) <= limit && c.chips() < result->candidates[*result->best].chips()) result->best = i;
    }
  }
  const Candidate& best = result->candidates[*result->best];
  for (const size_t i : order) {
    const Candidate& c = result->candidates[i];
    const bool same = c.chips() == best.chips() && c.decode_partition.mesh == best.decode_partition.mesh &&
                      c.weight_type == best.weight_type &&
                      c.decode_partition.pipeline_stages == best.decode_partition.pipeline_stages;
    if (!same) {
      result->runner_up = i;
      break;
    }
  }
}

std::string machines(const HardwareSpec& hardware, int64_t chips) {
  if (hardware.name == "this")
    return chips == 1 ? "this machine alone" : fmt::format("{} machines like this one", chips);
  const char* unit = hardware.compute_in_int8 ? "machine" : "chip";
  return fmt::format("{} {} {}{}", chips, hardware.name, unit, chips == 1 ? "" : "s");
}

std::string short_layout(const Candidate& c) {
  if (c.chips() == 1) return "";
  std::string text = fmt::format(" as {}", to_string(c.decode_partition.mesh));
  if (c.decode_partition.pipeline_stages > 1)
    text += fmt::format(" in {} pipeline stages", c.decode_partition.pipeline_stages);
  if (c.decode_partition.mesh.size() > 1) {
    text += fmt::format(" (prefill {}, decode {} with attention over {})", to_string(c.prefill_partition.ffn),
                        to_string(c.decode_partition.ffn), to_string(c.decode_partition.attention));
  }
  return text;
}

// The cost term in which two candidates differ most, per generated token.
std::string main_difference(const Candidate& best, const Candidate& other) {
  const struct {
    const char* name;
    double PassCost::*term;
  } terms[] = {{"arithmetic", &PassCost::compute},
               {"reading weights", &PassCost::weights},
               {"reading the KV cache", &PassCost::kv},
               {"communication", &PassCost::wire},
               {"hops", &PassCost::hops},
               {"fixed time per layer", &PassCost::fixed},
               {"idle pipeline stages", &PassCost::bubble}};
  const char* name = "";
  double most = 0;
  for (const auto& t : terms) {
    const double difference = other.decode.*t.term - best.decode.*t.term;
    if (difference > most) {
      most = difference;
      name = t.name;
    }
  }
  return most > 0 ? fmt::format("it spends {} more per step on {}", format_seconds(most), name)
                  : "it uses more chip time";
}

std::string recommend(const PlanRequest& r, const PlanResult& result) {
  if (!result.best) return fmt::format("Nothing qualifies: {}.", result.nearest_refusal);
  const Candidate& b = result.candidates[*result.best];
  std::string text = fmt::format("Use {}{} with {} weights and batch {}: first token after {}, then {} per token",
                                 machines(r.hardware, b.chips()), short_layout(b), b.weight_type, b.batch,
                                 format_seconds(b.prefill.total), format_seconds(b.decode.total));
  if (b.dollars_per_million > 0) text += fmt::format(", ${:.2f} per million generated tokens", b.dollars_per_million);
  text += ".";
  if (!result.runner_up) return text;
  const Candidate& o = result.candidates[*result.runner_up];
  const double slower = o.request_seconds / b.request_seconds - 1,
               dearer = o.chip_seconds_per_token / b.chip_seconds_per_token - 1;
  text += fmt::format(
      " Runner-up: {}{} with {} weights, batch {}: request {:.0f} % {}, chip time per token {:.0f} % {}; {}.",
      machines(r.hardware, o.chips()), short_layout(o), o.weight_type, o.batch, 100 * std::abs(slower),
      slower >= 0 ? "longer" : "shorter", 100 * std::abs(dearer), dearer >= 0 ? "more" : "less", main_difference(b, o));
  return text;
}

}  // namespace

std::vector<LayoutChoice> layout_choices(const ModelShape& model, const HardwareSpec& hardware,
                                         const Partition& resting, const Pass& pass, const NumberTypes& types,
                                         bool all_layouts) {
  std::vector<LayoutChoice> choices;
  for (const FfnLayout ffn : allowed_layouts(hardware, all_layouts)) {
    for (const AttentionLayout attention : {AttentionLayout::kHeads, AttentionLayout::kBatch}) {
      Partition p = resting;
      p.ffn = ffn;
      p.attention = attention;
      const bool gathered = ffn != FfnLayout::kWs1d && ffn != FfnLayout::kWs2d;
      if (ffn == FfnLayout::kWs1d && p.mesh.x > 1 && hardware.network.kind == NetworkKind::kSwitch)
        continue;                                                      // the same as 1 x YZ
      if (gathered && attention == AttentionLayout::kHeads) continue;  // its activations are split over batch already
      if (!check_partition(model, p, pass).ok()) continue;
      choices.push_back({p, predict_pass(model, hardware, p, pass, types)});
      if (p.mesh.size() == 1) return choices;
    }
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const auto& a, const auto& b) { return a.cost.total < b.cost.total; });
  return choices;
}

Result<LayoutChoice> best_layout(const ModelShape& model, const HardwareSpec& hardware, const Partition& resting,
                                 const Pass& pass, const NumberTypes& types, bool all_layouts) {
  const auto choices = layout_choices(model, hardware, resting, pass, types, all_layouts);
  if (choices.empty())
    return invalid_argument("no layout on {} can run {} sequences", to_string(resting.mesh), pass.sequences);
  return choices.front();
}

PlanResult search(const PlanRequest& request) {
  PlanResult result;
  double least_excess = 0;
  for (const int64_t chips : chip_counts(request)) {
    for (const Partition& resting : resting_partitions(request, chips)) {
      for (const std::string& type : weight_types(request)) {
        for (const int64_t batch : batches(request)) {
          result.stopped = result.stopped || (request.keep_going && !request.keep_going());
          if (result.stopped) return result;
          Result<Candidate> candidate = evaluate(request, resting, type, batch);
          ++result.tried;
          if (!candidate.ok()) {
            if (result.nearest_refusal.empty()) result.nearest_refusal = candidate.status().message();
            continue;
          }
          if (candidate->refused.empty()) {
            result.candidates.push_back(*std::move(candidate));
          } else if (least_excess == 0 || candidate->memory.total() < least_excess) {
            least_excess = candidate->memory.total();
            result.nearest_refusal = candidate->refused;
          }
        }
      }
    }
  }
  std::vector<std::pair<double, double>> points;
  for (const Candidate& c : result.candidates) points.emplace_back(c.request_seconds, c.chip_seconds_per_token);
  result.pareto = pareto_front(points);
  choose(request, &result);
  const auto fill_context = [&](size_t i) {
    Candidate& c = result.candidates[i];
    NumberTypes types = request.types;
    types.weight_type =
        request.model.stored_stack_bytes > 0 && c.weight_type == request.model.stored_type ? "" : c.weight_type;
    c.max_context = max_context(request.model, request.hardware, c.decode_partition, types, c.batch);
  };
  for (const size_t i : result.pareto) fill_context(i);
  if (result.best) fill_context(*result.best);
  if (result.runner_up) fill_context(*result.runner_up);
  result.recommendation = recommend(request, result);
  return result;
}

std::vector<size_t> pareto_front(std::span<const std::pair<double, double>> points) {
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return points[a] < points[b]; });
  std::vector<size_t> front;
  for (const size_t i : order) {
    if (front.empty() || points[i].second < points[front.back()].second) front.push_back(i);
  }
  return front;
}

std::string format_seconds(double s) {
  if (s >= 120) return fmt::format("{:.3g} min", s / 60);
  if (s >= 1) return fmt::format("{:.3g} s", s);
  if (s >= 1e-3) return fmt::format("{:.3g} ms", s * 1e3);
  return fmt::format("{:.3g} us", s * 1e6);
}

std::string format_bytes(double b) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; b >= 1024 && unit < 4; ++unit) b /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", b) : fmt::format("{:.3g} {}", b, units[unit]);
}

std::string format_interval(double relative_error) {
  if (relative_error < 1) return fmt::format("+-{:.0f} %", 100 * relative_error);
  return fmt::format("a factor of {:.2g} either way", 1 + relative_error);
}

std::string format_count(double n) {
  if (n >= 1e6) return fmt::format("{:.3g} M", n / 1e6);
  return fmt::format("{:.0f}", n);
}

}  // namespace tessera
