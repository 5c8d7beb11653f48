// The page of a plan: recommendation, Pareto chart, time by layout, memory, context, machines. Charts of charts.h.
#include <algorithm>

#include "planner/charts.h"
#include "planner/html_page.h"
#include "planner/plan.h"

namespace tessera {
namespace {

constexpr double kGiB = 1073741824.0;
const std::vector<std::pair<int, std::string>> kTimeLegend = {
    {0, "arithmetic"}, {1, "weights"}, {4, "attention"}, {2, "KV cache"}, {3, "wire"}, {5, "hops, fixed, output"}};

std::string layout_name(const Partition& p) {
  if (p.mesh.size() == 1) return p.pipeline_stages > 1 ? fmt::format("{} stages", p.pipeline_stages) : "alone";
  return fmt::format("{}, {}", to_string(p.ffn), p.attention == AttentionLayout::kBatch ? "batch" : "heads");
}

std::string describe(const Candidate& c) {
  return fmt::format("{} chips, batch {}, {}: first token {}, {} per token", c.chips(), c.batch, c.weight_type,
                     format_seconds(c.prefill.total), format_seconds(c.decode.total));
}

BarRow time_row(const std::string& label, const PassCost& c, double unit) {
  BarRow row{label, {}, format_seconds(c.total), c.total / unit};
  const auto add = [&](int color, const char* name, double seconds) {
    if (seconds > 0)
      row.segments.push_back({color, seconds / unit, fmt::format("{}: {}", name, format_seconds(seconds))});
  };
  add(0, "arithmetic", c.compute);
  add(1, "weights", c.weights);
  add(4, "attention", c.attention);
  add(2, "KV cache", c.kv);
  add(3, "wire", c.wire + c.gather);
  add(5, "hops, fixed, output", c.hops + c.fixed + c.unembed);
  return row;
}

std::string layout_chart(const char* phase, const std::vector<LayoutChoice>& choices) {
  BarChart chart;
  constexpr double kShown = 5;  // times the fastest: longer bars would hide the others
  std::vector<LayoutChoice> shown;
  for (const LayoutChoice& c : choices) {
    if (c.cost.total <= kShown * choices.front().cost.total) shown.push_back(c);
  }
  const double longest = shown.empty() ? 0 : shown.back().cost.total;
  const bool milliseconds = longest < 1;
  chart.title = fmt::format("{}: time by layout", phase);
  chart.note = "Each part as if alone; arithmetic, weights and gathered weights overlap.";
  if (shown.size() < choices.size())
    chart.note +=
        fmt::format(" {} layouts take more than {} times the fastest.", choices.size() - shown.size(), kShown);
  chart.axis_label = milliseconds ? "milliseconds" : "seconds";
  chart.legend = kTimeLegend;
  chart.marker_name = "predicted time with overlap";
  for (const LayoutChoice& c : shown) {
    const std::string mesh = c.partition.mesh.size() > 1 ? to_string(c.partition.mesh) + " " : "";
    chart.rows.push_back(time_row(mesh + layout_name(c.partition), c.cost, milliseconds ? 1e-3 : 1));
  }
  return render(chart);
}

std::string pareto_chart(const PlanReport& report) {
  const PlanResult& result = report.result;
  const bool priced = report.request.hardware.cost_per_chip_hour > 0;
  XyChart chart;
  chart.title = "Latency against cost";
  chart.note =
      fmt::format("{} prompt and {} generated tokens; every candidate that qualifies, the line is the Pareto front",
                  report.request.prompt_tokens, report.request.generated_tokens);
  chart.x_label = "seconds per request";
  chart.y_label = priced ? "dollars per million generated tokens" : "chip-seconds per generated token";
  chart.log_x = chart.log_y = true;
  const auto point = [&](const Candidate& c) {
    return ChartPoint{c.request_seconds, priced ? c.dollars_per_million : c.chip_seconds_per_token, describe(c)};
  };
  ChartSeries all{"candidates", 7, SeriesStyle::kPoints, true}, front{"Pareto front", 0, SeriesStyle::kLineAndPoints},
      best{"recommended", 3, SeriesStyle::kPoints};
  const size_t step = std::max<size_t>(1, result.candidates.size() / 600);
  for (size_t i = 0; i < result.candidates.size(); i += step) all.points.push_back(point(result.candidates[i]));
  for (const size_t i : result.pareto) front.points.push_back(point(result.candidates[i]));
  if (result.best) {
    best.points.push_back(point(result.candidates[*result.best]));
    best.points.back().label =
        fmt::format("C{} B{}", result.candidates[*result.best].chips(), result.candidates[*result.best].batch);
    best.points.back().show_label = true;
  }
  chart.series = {all, front, best};
  return render(chart);
}

std::string memory_chart(const PlanReport& report) {
  BarChart chart;
  chart.title = "Memory per chip";
  chart.axis_label = "GiB";
  chart.legend = {{1, "weights"}, {2, "KV cache"}, {6, "scratch"}, {3, "transport"}, {5, "program"}};
  chart.limit = report.request.hardware.memory_bytes * report.request.hardware.usable_memory_fraction / kGiB;
  chart.limit_label = "usable";
  std::vector<const Candidate*> shown;
  const PlanResult& result = report.result;
  if (result.best) shown.push_back(&result.candidates[*result.best]);
  if (result.runner_up) shown.push_back(&result.candidates[*result.runner_up]);
  const size_t step = std::max<size_t>(1, result.pareto.size() / 6);
  for (size_t i = 0; i < result.pareto.size(); i += step) shown.push_back(&result.candidates[result.pareto[i]]);
  for (size_t i = 0; i < shown.size(); ++i) {
    const MemoryUse& m = shown[i]->memory;
    const char* role = i == 0 ? "best: " : i == 1 && result.runner_up ? "runner-up: " : "";
    BarRow row{fmt::format("{}C{} B{} {}", role, shown[i]->chips(), shown[i]->batch, shown[i]->weight_type),
               {},
               format_bytes(m.total()),
               0};
    for (const auto& [color, bytes] :
         {std::pair{1, m.weights}, {2, m.kv}, {6, m.scratch}, {3, m.transport}, {5, m.program}})
      row.segments.push_back({color, bytes / kGiB, format_bytes(bytes)});
    chart.rows.push_back(row);
  }
  return render(chart);
}

std::string context_chart(const PlanReport& report) {
  const PlanRequest& r = report.request;
  const Candidate& best = report.result.candidates[*report.result.best];
  NumberTypes types = r.types;
  types.weight_type = r.model.stored_stack_bytes > 0 && best.weight_type == r.model.stored_type ? "" : best.weight_type;
  XyChart chart;
  chart.title = "Longest context that fits";
  chart.note = fmt::format("{} weights on {} chips", best.weight_type, best.chips());
  chart.x_label = "sequences";
  chart.y_label = "tokens";
  chart.log_x = chart.log_y = true;
  for (const AttentionLayout attention : {AttentionLayout::kHeads, AttentionLayout::kBatch}) {
    if (attention == AttentionLayout::kBatch && best.decode_partition.mesh.size() == 1) continue;
    Partition p = best.decode_partition;
    p.attention = attention;
    ChartSeries s{fmt::format("attention over {}", to_string(attention)), attention == AttentionLayout::kHeads ? 1 : 2,
                  SeriesStyle::kLineAndPoints};
    const int64_t first = attention == AttentionLayout::kBatch ? p.mesh.size() : 1;
    for (int64_t b = first; b <= 1024; b *= 2) {
      const double tokens = max_context(r.model, r.hardware, p, types, b);
      if (tokens > 0)
        s.points.push_back({static_cast<double>(b), tokens, fmt::format("batch {}: {:.0f} tokens", b, tokens)});
    }
    chart.series.push_back(s);
  }
  return render(chart);
}

std::string machines_chart(const PlanReport& report) {
  if (report.by_chips.size() < 2) return "";
  BarChart chart;
  chart.title = fmt::format("Decode step with k {}", report.request.hardware.compute_in_int8 ? "machines" : "chips");
  chart.note = "The fastest layout of each; wire and hops are what more of them cost.";
  chart.axis_label = "milliseconds";
  chart.legend = kTimeLegend;
  chart.marker_name = "predicted time with overlap";
  for (const Candidate& c : report.by_chips) {
    // A pipeline's parts are of one stage; the rest of the step is the other stages.
    chart.rows.push_back(time_row(fmt::format("{} (batch {})", c.chips(), c.batch), c.decode, 1e-3));
  }
  return render(chart);
}

std::string service_section(const SimulationReport& s) {
  if (!s.ran) return "";
  const SimulationResult& r = s.result;
  std::vector<std::vector<std::string>> rows = {{"", "mean", "p50", "p90", "p95", "p99", "max"}};
  const auto add = [&](const char* name, const Percentiles& p) {
    rows.push_back({name, format_seconds(p.mean), format_seconds(p.p50), format_seconds(p.p90), format_seconds(p.p95),
                    format_seconds(p.p99), format_seconds(p.max)});
  };
  add("time to first token", r.ttft);
  add("time per output token", r.tpot);
  add("whole request", r.request);
  add("chip time per request", r.chip_seconds);
  return "<h2>Service</h2>" +
         html_tiles({{fmt::format("{}", s.fleet.replicas), "replicas",
                      s.searched ? "smallest fleet that meets the target" : ""},
                     {fmt::format("{:.4g}/s", r.goodput_per_second), "goodput",
                      fmt::format("{:.1f} % met the target", 100 * r.met)},
                     {fmt::format("{:.4g}/s", r.output_tokens_per_second), "output tokens",
                      fmt::format("{:.0f} % busy, mean batch {:.1f}", 100 * r.busy, r.mean_batch)},
                     {r.dollars_per_million > 0 ? fmt::format("${:.2f}", r.dollars_per_million) : "-",
                      "per million tokens", "idle time included"}}) +
         html_table(rows);
}

std::string pareto_table(const PlanReport& report) {
  std::vector<std::vector<std::string>> rows = {{"chips", "prefill", "decode", "weights", "batch", "first token",
                                                 "per token", "tokens/s", "MFU prefill", "MFU decode", "memory",
                                                 "max context", "$/M tokens"}};
  for (const size_t i : report.result.pareto) {
    const Candidate& c = report.result.candidates[i];
    rows.push_back({fmt::format("{} ({})", c.chips(), to_string(c.decode_partition.mesh)),
                    layout_name(c.prefill_partition), layout_name(c.decode_partition), c.weight_type,
                    fmt::format("{}", c.batch), format_seconds(c.prefill.total), format_seconds(c.decode.total),
                    fmt::format("{:.4g}", static_cast<double>(c.batch) / c.decode.total),
                    fmt::format("{:.0f} %", 100 * c.prefill.mfu), fmt::format("{:.0f} %", 100 * c.decode.mfu),
                    format_bytes(c.memory.total()), format_count(c.max_context),
                    c.dollars_per_million > 0 ? fmt::format("{:.3g}", c.dollars_per_million) : "-"});
  }
  return "<h2>Pareto front</h2>" + html_table(rows, 4);
}

}  // namespace

std::string plan_html(const PlanReport& report, std::string_view form) {
  const PlanRequest& r = report.request;
  const CalibrationRecord& record = r.hardware.calibration;
  std::string body =
      "<h1>" + escape_html(r.model.name) + " on " + escape_html(r.hardware.name) + "</h1><p class=\"sub\">" +
      escape_html(fmt::format(
          "{} layers, {:.4g} B parameters, {} of KV cache per token. {}", r.model.layers, total_params(r.model) / 1e9,
          format_bytes(kv_bytes_per_token(r.model, r.types.kv_element_bytes)), r.hardware.description)) +
      "</p>" + std::string(form) + "<p class=\"lead\">" + escape_html(report.result.recommendation) + "</p>";
  if (report.result.best) {
    const Candidate& best = report.result.candidates[*report.result.best];
    const std::string error = format_interval(best.prefill.relative_error);
    body += html_tiles(
        {{format_seconds(best.prefill.total), "first token",
          fmt::format("{} prompt tokens, {}", r.prompt_tokens, error)},
         {format_seconds(best.decode.total), "per output token",
          fmt::format("{:.4g} tokens/s, {}", static_cast<double>(best.batch) / best.decode.total, error)},
         {format_bytes(best.memory.total()), "memory per chip",
          fmt::format("of {}", format_bytes(r.hardware.memory_bytes))},
         {format_count(best.max_context), "tokens of context fit", fmt::format("batch {}", best.batch)},
         {fmt::format("{:.0f} % / {:.0f} %", 100 * best.prefill.mfu, 100 * best.decode.mfu), "MFU prefill / decode",
          ""}});
    body += "<div class=\"charts\">";
    if (report.result.candidates.size() > 1) body += pareto_chart(report);
    body += layout_chart("Prefill", report.prefill_layouts) + layout_chart("Decode step", report.decode_layouts);
    body += memory_chart(report) + context_chart(report) + machines_chart(report) + "</div>";
    body += service_section(report.simulation) + pareto_table(report);
  }
  body += "<h2>How far to trust this</h2><ul class=\"small\"><li>Times: " + escape_html(error_text(report)) + ".</li><li>" +
      escape_html(record.points > 0 ? fmt::format("Constants fitted to {} measured points ({}): {:.1f} % RMS there, "
                                                  "{:.1f} % RMS on points left out; nine in ten within {:.1f} %.",
                                                  record.points, record.note, 100 * record.rms,
                                                  100 * record.leave_one_out_rms, 100 * record.leave_one_out_p90)
                                    : fmt::format("The constants of this hardware are not fitted to measurements: {}.",
                                                  record.note)) +
      "</li>";
  for (const std::string& source : r.hardware.sources) body += "<li>" + escape_html(source) + "</li>";
  body += "</ul>";
  return html_page(r.model.name + " on " + r.hardware.name, body);
}

}  // namespace tessera
