// The terminal table and --json of a plan.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "planner/plan.h"

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    text += " ";
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string gap(width[c] - row[c].size(), ' ');
      text += " " + (c == 1 ? " " + row[c] + gap : gap + row[c]);
    }
    text += "\n";
  }
  return text;
}

std::string layout_text(const Candidate& c) {
  if (c.chips() == 1) return "alone";
  std::string text = to_string(c.decode_partition.mesh);
  if (c.decode_partition.mesh.size() > 1)
    text += fmt::format(" {} / {}", to_string(c.prefill_partition.ffn), to_string(c.decode_partition.ffn));
  if (c.decode_partition.mesh.size() > 1 && c.decode_partition.attention == AttentionLayout::kBatch) text += "+B";
  if (c.decode_partition.expert_parallel) text += " EP";
  if (c.decode_partition.pipeline_stages > 1) text += fmt::format(" PP{}", c.decode_partition.pipeline_stages);
  return text;
}

std::vector<std::string> row(const PlanReport& report, const Candidate& c) {
  const double rate = static_cast<double>(c.batch) / c.decode.total;
  return {fmt::format("{}", c.chips()),
          layout_text(c),
          c.weight_type,
          fmt::format("{}", c.batch),
          format_seconds(c.prefill.total),
          format_seconds(c.decode.total),
          fmt::format("{:.4g}", rate),
          fmt::format("{:.0f}/{:.0f} %", 100 * c.prefill.mfu, 100 * c.decode.mfu),
          format_bytes(c.memory.total()),
          c.max_context > 0 ? format_count(c.max_context) : "-",
          report.request.hardware.cost_per_chip_hour > 0 ? fmt::format("{:.3g}", c.dollars_per_million) : "-"};
}

std::string breakdown(const char* phase, const PassCost& c, double layers) {
  std::string text = fmt::format("  {:<8} {:>9} =", phase, format_seconds(c.total));
  const std::pair<const char*, double> terms[] = {
      {"arithmetic", c.compute},   {"weights", c.weights}, {"attention", c.attention}, {"KV", c.kv},
      {"wire", c.wire + c.gather}, {"hops", c.hops},       {"fixed", c.fixed},         {"output", c.unembed}};
  for (const auto& [name, seconds] : terms) {
    if (seconds > 0.005 * c.total) text += fmt::format("  {} {}", name, format_seconds(seconds));
  }
  return text + fmt::format("  (per layer: compute {}, communication {})\n",
                            format_seconds(std::max(c.compute, c.weights) / layers),
                            format_seconds((c.wire + c.gather + c.hops) / layers));
}

std::string machines_table(const PlanReport& report) {
  if (report.by_chips.size() < 2) return "";
  std::vector<std::vector<std::string>> rows = {
      {"k", "layout", "first token", "per token", "compute+weights", "wire+hops", "per layer: compute", "wire"}};
  const double layers = static_cast<double>(report.request.model.layers);
  for (const Candidate& c : report.by_chips) {
    const double work = std::max(c.decode.compute, c.decode.weights),
                 wire = c.decode.wire + c.decode.gather + c.decode.hops;
    rows.push_back({fmt::format("{}", c.chips()), layout_text(c), format_seconds(c.prefill.total),
                    format_seconds(c.decode.total), format_seconds(work), format_seconds(wire),
                    format_seconds(work / layers), format_seconds(wire / layers)});
  }
  return "\nThe fastest with k " + std::string(report.request.hardware.compute_in_int8 ? "machines" : "chips") + ":\n" +
         table(rows);
}

std::string simulation_text(const SimulationReport& s) {
  if (!s.ran) return "";
  const SimulationResult& r = s.result;
  std::string text = fmt::format(
      "\nService: {} requests in {}, {} replica{}{}{}\n", r.requests, format_seconds(r.seconds), s.fleet.replicas,
      s.fleet.replicas == 1 ? "" : "s",
      s.fleet.prefill_replicas > 0 ? fmt::format(" that decode, {} that prefill", s.fleet.prefill_replicas) : "",
      s.searched ? ": the smallest fleet that meets the target" : "");
  std::vector<std::vector<std::string>> rows = {{"", "", "mean", "p50", "p90", "p95", "p99", "max"}};
  const auto add = [&](const char* name, const Percentiles& p) {
    rows.push_back({"", name, format_seconds(p.mean), format_seconds(p.p50), format_seconds(p.p90),
                    format_seconds(p.p95), format_seconds(p.p99), format_seconds(p.max)});
  };
  add("time to first token", r.ttft);
  add("time per output token", r.tpot);
  add("whole request", r.request);
  add("chip time per request", r.chip_seconds);
  text += table(rows);
  text += fmt::format(
      "  {:.1f} output tokens/s, goodput {:.3g} requests/s, {:.1f} % met the target, {:.0f} % busy, mean batch {:.1f}",
      r.output_tokens_per_second, r.goodput_per_second, 100 * r.met, 100 * r.busy, r.mean_batch);
  if (r.dollars_per_million > 0) text += fmt::format(", ${:.2f} per million tokens", r.dollars_per_million);
  if (r.refused > 0) text += fmt::format(", {} refused (longer than the cache)", r.refused);
  return text + ".\n  Time per output token counts decode only: (last - first token) / (tokens - 1).\n";
}

Json cost_json(const PassCost& c) {
  return {{"seconds", c.total},
          {"low", c.relative_error < 1 ? c.total * (1 - c.relative_error) : c.total / (1 + c.relative_error)},
          {"high", c.total * (1 + c.relative_error)},
          {"compute", c.compute},
          {"weights", c.weights},
          {"attention", c.attention},
          {"kv", c.kv},
          {"wire", c.wire},
          {"gather", c.gather},
          {"hops", c.hops},
          {"fixed", c.fixed},
          {"unembed", c.unembed},
          {"bubble", c.bubble},
          {"mfu", c.mfu},
          {"chip_seconds_per_token", c.chip_seconds_per_token},
          {"flops_per_chip", c.flops},
          {"weight_bytes_per_chip", c.weight_bytes},
          {"kv_bytes_per_chip", c.kv_bytes},
          {"wire_bytes_per_chip", c.wire_bytes}};
}

Json partition_json(const Partition& p) {
  return {{"mesh", to_string(p.mesh)},
          {"ffn", to_string(p.ffn)},
          {"attention", to_string(p.attention)},
          {"expert_parallel", p.expert_parallel},
          {"pipeline_stages", p.pipeline_stages}};
}

Json candidate_json(const Candidate& c) {
  const MemoryUse& m = c.memory;
  return {{"chips", c.chips()},
          {"batch", c.batch},
          {"weight_type", c.weight_type},
          {"prefill_layout", partition_json(c.prefill_partition)},
          {"decode_layout", partition_json(c.decode_partition)},
          {"prefill", cost_json(c.prefill)},
          {"decode_step", cost_json(c.decode)},
          {"tokens_per_second", static_cast<double>(c.batch) / c.decode.total},
          {"request_seconds", c.request_seconds},
          {"chip_seconds_per_token", c.chip_seconds_per_token},
          {"dollars_per_million_tokens", c.dollars_per_million},
          {"memory_per_chip",
           {{"total", m.total()},
            {"weights", m.weights},
            {"kv", m.kv},
            {"scratch", m.scratch},
            {"transport", m.transport},
            {"program", m.program}}},
          {"max_context", c.max_context}};
}

Json percentile_json(const Percentiles& p) {
  return {{"mean", p.mean}, {"p50", p.p50}, {"p90", p.p90}, {"p95", p.p95}, {"p99", p.p99}, {"max", p.max}};
}

}  // namespace

std::string error_text(const PlanReport& report) {
  const PlanRequest& r = report.request;
  const CalibrationRecord& c = r.hardware.calibration;
  const std::string interval = format_interval(prediction_error(r.model, r.hardware)) + " on times";
  if (below_calibrated_size(r.model, r.hardware))
    return fmt::format("{}: not calibrated for models this small ({} parameters; the smallest measured has {})", interval,
                       format_count(total_params(r.model)), format_count(least_calibrated_params(r.hardware)));
  if (c.points == 0) return fmt::format("{}: {}", interval, c.note.empty() ? "no measurements" : c.note);
  return fmt::format("{} (nine in ten, leave-one-out over {} measured points{})", interval, c.points,
                     c.note.empty() ? "" : "; " + c.note);
}

std::string plan_text(const PlanReport& report) {
  const PlanRequest& r = report.request;
  const ModelShape& m = r.model;
  std::string text =
      fmt::format("Model     {}: {} layers, {:.4g} B parameters{}, KV {} per token\n", m.name, m.layers,
                  total_params(m) / 1e9, m.experts > 0 ? fmt::format(" ({:.3g} B active)", mfu_params(m) / 1e9) : "",
                  format_bytes(kv_bytes_per_token(m, r.types.kv_element_bytes)));
  text += fmt::format("Hardware  {}: {}\n", r.hardware.name, r.hardware.description);
  text += fmt::format("Error     {}\n", error_text(report));
  text += fmt::format("Request   {} prompt tokens, {} generated\n\n{}\n", r.prompt_tokens, r.generated_tokens,
                      report.result.recommendation);
  if (report.result.best) {
    const Candidate& best = report.result.candidates[*report.result.best];
    const double layers = static_cast<double>(m.layers);
    text += "\n" + breakdown("prefill", best.prefill, layers) + breakdown("decode", best.decode, layers);
    const MemoryUse& u = best.memory;
    text += fmt::format("  memory   {:>9} = weights {}  KV {}  scratch {}  transport {}  program {}, of {} usable\n",
                        format_bytes(u.total()), format_bytes(u.weights), format_bytes(u.kv), format_bytes(u.scratch),
                        format_bytes(u.transport), format_bytes(u.program),
                        format_bytes(r.hardware.memory_bytes * r.hardware.usable_memory_fraction));
    text += fmt::format("  context  {:>9} tokens fit at batch {}{}\n", format_count(best.max_context), best.batch,
                        m.max_context > 0 ? fmt::format(" (the model was made for {})", m.max_context) : "");
    if (report.result.pareto.size() > 1) {
      std::vector<std::vector<std::string>> rows = {{"chips", "prefill / decode", "weights", "batch", "first token",
                                                     "per token", "tok/s", "MFU", "memory", "max context", "$/M"}};
      const size_t count = report.result.pareto.size(), step = std::max<size_t>(1, (count + 15) / 16);
      for (size_t i = 0; i < count; i += step)
        rows.push_back(row(report, report.result.candidates[report.result.pareto[i]]));
      text +=
          fmt::format("\nPareto front of latency against cost ({} candidates):\n", report.result.tried) + table(rows);
    }
  }
  return text + machines_table(report) + simulation_text(report.simulation);
}

std::string plan_json(const PlanReport& report) {
  const PlanRequest& r = report.request;
  Json json{{"model",
             {{"name", r.model.name},
              {"source", r.model.source},
              {"parameters", total_params(r.model)},
              {"layers", r.model.layers},
              {"kv_bytes_per_token", kv_bytes_per_token(r.model, r.types.kv_element_bytes)},
              {"shape", Json::parse(shape_to_json(r.model))}}},
            {"hardware",
             {{"name", r.hardware.name},
              {"description", r.hardware.description},
              {"calibration_points", r.hardware.calibration.points},
              {"relative_error", prediction_error(r.model, r.hardware)},
              {"below_calibrated_size", below_calibrated_size(r.model, r.hardware)}}},
            {"prompt_tokens", r.prompt_tokens},
            {"generated_tokens", r.generated_tokens},
            {"candidates_tried", report.result.tried},
            {"recommendation", report.result.recommendation}};
  const PlanResult& result = report.result;
  json["best"] = result.best ? candidate_json(result.candidates[*result.best]) : Json(nullptr);
  json["runner_up"] = result.runner_up ? candidate_json(result.candidates[*result.runner_up]) : Json(nullptr);
  json["pareto"] = Json::array();
  for (const size_t i : result.pareto) json["pareto"].push_back(candidate_json(result.candidates[i]));
  json["by_chips"] = Json::array();
  for (const Candidate& c : report.by_chips) json["by_chips"].push_back(candidate_json(c));
  const auto layouts = [](const std::vector<LayoutChoice>& list) {
    Json out = Json::array();
    for (const LayoutChoice& l : list)
      out.push_back({{"layout", partition_json(l.partition)}, {"cost", cost_json(l.cost)}});
    return out;
  };
  json["prefill_layouts"] = layouts(report.prefill_layouts);
  json["decode_layouts"] = layouts(report.decode_layouts);
  if (report.simulation.ran) {
    const SimulationResult& s = report.simulation.result;
    json["simulation"] = {{"replicas", report.simulation.fleet.replicas},
                          {"prefill_replicas", report.simulation.fleet.prefill_replicas},
                          {"requests", s.requests},
                          {"refused", s.refused},
                          {"seconds", s.seconds},
                          {"ttft", percentile_json(s.ttft)},
                          {"tpot", percentile_json(s.tpot)},
                          {"request", percentile_json(s.request)},
                          {"chip_seconds_per_request", percentile_json(s.chip_seconds)},
                          {"output_tokens_per_second", s.output_tokens_per_second},
                          {"goodput_per_second", s.goodput_per_second},
                          {"met", s.met},
                          {"busy", s.busy},
                          {"mean_batch", s.mean_batch},
                          {"dollars_per_million_tokens", s.dollars_per_million}};
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tessera
