// docs/gallery: Figures 1, 3, 6, 7, 8 and B.1 and Tables 1 to 3 of "Efficiently Scaling Transformer Inference", redrawn
// from our formulas (lines, filled) beside the paper's numbers (open circles). `tessera plan --gallery FILE` writes it.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "planner/calibrate.h"
#include "planner/charts.h"
#include "planner/comm.h"
#include "planner/embedded.h"
#include "planner/html_page.h"
#include "planner/json_fields.h"
#include "planner/memory.h"
#include "planner/plan.h"

namespace tessera {
namespace {

struct Gallery {
  HardwareSpec tpu;
  nlohmann::json paper;
  std::vector<MeasuredPoint> points;

  std::vector<MeasuredPoint> of(std::string_view figure) const {
    std::vector<MeasuredPoint> list;
    for (const MeasuredPoint& p : points) {
      if (p.where == figure) list.push_back(p);
    }
    return list;
  }
  PassCost predict(const MeasuredPoint& p) const { return predict_pass(p.model, tpu, p.partition, p.pass, p.types); }
};

double mfu_of(const Gallery& g, const MeasuredPoint& p) {
  return 2 * mfu_params(p.model) * p.pass.total_tokens() /
         (static_cast<double>(p.partition.chips()) * g.tpu.peak_flops.at("bf16") * p.seconds);
}

std::string error_note(const Gallery& g, const std::vector<MeasuredPoint>& list) {
  const auto r = residuals(g.tpu, list);
  return fmt::format("Predicted against measured, {} points: {:.1f} % RMS, worst {:.1f} %", list.size(), 100 * rms(r),
                     100 * quantile_error(r, 1));
}

// Chip-time against latency, one dot per batch size at 64 chips.
std::string figure1(const Gallery& g, bool decode) {
  const std::vector<MeasuredPoint> all = g.of(decode ? "1 left" : "1 right");
  XyChart chart;
  chart.title =
      decode ? "Figure 1, left: decode, PaLM 540B, context 2048" : "Figure 1, right: prefill of 2048 tokens, PaLM 540B";
  chart.note = error_note(g, all);
  chart.x_label = decode ? "milliseconds per token" : "seconds";
  chart.y_label = decode ? "chip-milliseconds per token" : "chip-milliseconds per token";
  chart.log_x = chart.log_y = true;
  for (const char* type : {"bf16", "int8"}) {
    const int color = type[0] == 'b' ? 0 : 1;
    ChartSeries ours{fmt::format("{} predicted", type), color, SeriesStyle::kLineAndPoints},
        theirs{fmt::format("{} measured", type), color, SeriesStyle::kPoints, false, true};
    for (const MeasuredPoint& p : all) {
      if (p.types.weight_type != type) continue;
      const double chips = static_cast<double>(p.partition.chips()), unit = decode ? 1e3 : 1;
      const auto point = [&](double seconds) {
        return ChartPoint{seconds * unit, chips * seconds * 1e3 / p.pass.total_tokens(),
                          fmt::format("C{:.0f} B{} {}: {}", chips, p.pass.sequences, to_string(p.partition.ffn),
                                      format_seconds(seconds))};
      };
      theirs.points.push_back(point(p.seconds));
      if (p.partition.chips() == 64) ours.points.push_back(point(g.predict(p).total));
    }
    chart.series.push_back(ours);
    chart.series.push_back(theirs);
  }
  return render(chart);
}

// The Pareto frontiers of the three sizes, which the paper plots; measured numbers of the smaller ones are in Table 3.
std::string figure1_sizes(const Gallery& g) {
  XyChart chart;
  chart.title = "Figure 1, left, all sizes: predicted frontier of decode";
  chart.note = "Every slice of 8 to 256 chips, batch 4 to 1024, better of bf16 and int8; circles: Tables 2 and 3";
  chart.x_label = "milliseconds per token";
  chart.y_label = "chip-milliseconds per token";
  chart.log_x = chart.log_y = true;
  int color = 2;
  for (const char* name : {"palm-8b", "palm-62b", "palm-540b"}) {
    const auto model = find_shipped_model(name);
    if (!model.ok()) continue;
    PlanRequest r;
    r.model = *model;
    r.hardware = g.tpu;
    r.prompt_tokens = 2016;
    r.generated_tokens = 64;
    r.decode_layout = FfnLayout::kWs2d;
    r.chips = {8, 16, 32, 64, 128, 256};
    r.batches = {4, 8, 16, 32, 64, 128, 256, 512, 1024};
    const PlanResult result = search(r);
    std::vector<std::pair<double, double>> xy;
    for (const Candidate& c : result.candidates)
      xy.emplace_back(1e3 * c.decode.total, 1e3 * c.decode.chip_seconds_per_token);
    ChartSeries front{name, color, SeriesStyle::kLineAndPoints}, theirs{"", color, SeriesStyle::kPoints, false, true};
    for (const size_t i : pareto_front(xy)) {
      const Candidate& c = result.candidates[i];
      front.points.push_back({xy[i].first, xy[i].second, fmt::format("C{} B{} {}", c.chips(), c.batch, c.weight_type)});
    }
    for (const char* table : {"Table 2", "Table 3"}) {
      for (const MeasuredPoint& p : g.of(table)) {
        if (p.decode() && p.model.name == name)
          theirs.points.push_back({1e3 * p.seconds,
                                   1e3 * p.seconds * static_cast<double>(p.partition.chips()) / p.pass.total_tokens(),
                                   format_seconds(p.seconds)});
      }
    }
    chart.series.push_back(front);
    chart.series.push_back(theirs);
    ++color;
  }
  return render(chart);
}

constexpr FfnLayout kFigure3[] = {FfnLayout::kWs2d, FfnLayout::kWgX, FfnLayout::kWgXy, FfnLayout::kWgXyz};

std::string figure3(const Gallery& g) {
  XyChart chart;
  chart.title = "Figure 3: communication volume of one feed-forward layer";
  chart.note =
      "X = Y = Z = 4, E = 16384, F = 65536; formulas of section 3.2, switches at 16,384 / 65,536 / 786,432 tokens";
  chart.x_label = "tokens in the batch";
  chart.y_label = "GB per chip";
  chart.log_x = chart.log_y = true;
  for (size_t i = 0; i < 4; ++i) {
    ChartSeries ours{std::string(to_string(kFigure3[i])), static_cast<int>(i), SeriesStyle::kLine},
        theirs{"", static_cast<int>(i), SeriesStyle::kPoints, false, true};
    for (double tokens = 2048; tokens < 1.1e6; tokens *= std::sqrt(2.0))
      ours.points.push_back({tokens, 2e-9 * paper_ffn_elements(kFigure3[i], {4, 4, 4}, 16384, 65536, tokens), ""});
    for (const auto& row : g.paper["figure3_gb"])
      theirs.points.push_back(
          {row[0].get<double>(), row[i + 1].get<double>(),
           fmt::format("{} tokens: {} GB in the paper", row[0].get<double>(), row[i + 1].get<double>())});
    chart.series.push_back(ours);
    chart.series.push_back(theirs);
  }
  return render(chart);
}

// One line per key of the points: the x value comes from `x_of`.
template <class Key, class X, class Y>
std::string compare_chart(const Gallery& g, XyChart chart, std::string_view figure, Key key_of, X x_of, Y y_of) {
  const std::vector<MeasuredPoint> all = g.of(figure);
  chart.note = error_note(g, all) + (chart.note.empty() ? "" : ". " + chart.note);
  std::vector<std::string> keys;
  for (const MeasuredPoint& p : all) {
    if (std::find(keys.begin(), keys.end(), key_of(p)) == keys.end()) keys.push_back(key_of(p));
  }
  for (size_t k = 0; k < keys.size(); ++k) {
    ChartSeries ours{keys[k] + " predicted", static_cast<int>(k), SeriesStyle::kLineAndPoints},
        theirs{"measured", static_cast<int>(k), SeriesStyle::kPoints, false, true};
    for (MeasuredPoint p : all) {
      if (key_of(p) != keys[k]) continue;
      theirs.points.push_back({x_of(p), y_of(p), format_seconds(p.seconds)});
      p.seconds = g.predict(p).total;
      ours.points.push_back({x_of(p), y_of(p), format_seconds(p.seconds)});
    }
    chart.series.push_back(ours);
    chart.series.push_back(theirs);
  }
  return render(chart);
}

std::string figures_6_7_8(const Gallery& g) {
  const auto milliseconds = [](const MeasuredPoint& p) { return 1e3 * p.seconds; };
  XyChart six;
  six.title = "Figure 6: decode step, 1D against 2D weight-stationary, batch 512";
  six.note = "The paper's 128 and 256 chips ran models with more padded heads";
  six.x_label = "chips";
  six.y_label = "milliseconds per step";
  six.log_x = true;
  std::string html = compare_chart(
      g, six, "6", [](const MeasuredPoint& p) { return std::string(to_string(p.partition.ffn)); },
      [](const MeasuredPoint& p) { return static_cast<double>(p.partition.chips()); }, milliseconds);
  XyChart seven;
  seven.title = "Figure 7: prefill MFU, 540B, 64 chips";
  seven.x_label = "tokens in the batch";
  seven.y_label = "MFU, percent";
  seven.log_x = true;
  html += compare_chart(
      g, seven, "7", [](const MeasuredPoint& p) { return std::string(to_string(p.partition.ffn)); },
      [](const MeasuredPoint& p) { return p.pass.total_tokens(); },
      [&](const MeasuredPoint& p) { return 100 * mfu_of(g, p); });
  XyChart eight;
  eight.title = "Figure 8: decode step by context, 8 layers of 540B, 64 chips, batch 256";
  eight.note = "Multihead ran at 14 % of bandwidth, a kernel loss that no formula of bytes shows";
  eight.x_label = "context tokens";
  eight.y_label = "milliseconds per step";
  eight.log_x = eight.log_y = true;
  return html + compare_chart(
                    g, eight, "8",
                    [](const MeasuredPoint& p) {
                      return std::string(p.model.kv_heads > 1                               ? "multihead"
                                         : p.partition.attention == AttentionLayout::kBatch ? "multiquery, batch"
                                                                                            : "multiquery, heads");
                    },
                    [](const MeasuredPoint& p) { return static_cast<double>(p.pass.context); }, milliseconds);
}

std::string figure_b1(const Gallery& g) {
  XyChart chart;
  chart.title = "Figure B.1: prefill at batch 1, 540B, 64 chips";
  chart.x_label = "prompt tokens";
  chart.y_label = "milliseconds";
  chart.log_x = chart.log_y = true;
  return compare_chart(
      g, chart, "B.1", [](const MeasuredPoint& p) { return p.types.weight_type; },
      [](const MeasuredPoint& p) { return static_cast<double>(p.pass.tokens); },
      [](const MeasuredPoint& p) { return 1e3 * p.seconds; });
}

std::string table1(const Gallery& g) {
  std::vector<std::vector<std::string>> rows = {{"variant", "head dim", "batch", "paper", "ours", "difference"}};
  for (const auto& row : g.paper["table1"]) {
    const auto model = find_shipped_model(row["model"].get<std::string>());
    if (!model.ok()) continue;
    const Partition p{
        {4, 4, 4}, FfnLayout::kWs2d, row["attention"] == "batch" ? AttentionLayout::kBatch : AttentionLayout::kHeads};
    for (const auto& [batch, context] : row["context"].items()) {
      const double ours = context_in_kv_bytes(*model, p, std::stoll(batch), 2, 0.3 * g.tpu.memory_bytes);
      rows.push_back({row["label"].get<std::string>(), fmt::format("{}", model->head_dim), batch,
                      fmt::format("{}", context.get<int64_t>()), fmt::format("{:.0f}", ours),
                      fmt::format("{:+.1f} %", 100 * (ours / context.get<double>() - 1))});
    }
  }
  return "<h2>Table 1: longest context, 30 % of memory for the cache, 540B on 64 chips</h2>" + html_table(rows);
}

std::string table_2_or_3(const Gallery& g, const char* name) {
  std::vector<std::vector<std::string>> rows = {{"scenario", "layout of the paper", "layout we pick", "MFU paper",
                                                 "MFU ours", "time paper", "time ours", "difference"}};
  for (const MeasuredPoint& p : g.of(name)) {
    Partition resting;
    resting.mesh = p.partition.mesh;
    const auto picked = best_layout(p.model, g.tpu, resting, p.pass, p.types);
    const PassCost ours = g.predict(p);
    const auto layout = [](const Partition& q) {
      return fmt::format("{}, {}", to_string(q.ffn), to_string(q.attention));
    };
    rows.push_back({fmt::format("{} on {} chips, {} batch {}, {}", p.model.name, p.partition.chips(),
                                p.decode() ? "decode" : "prefill", p.pass.sequences, p.types.weight_type),
                    layout(p.partition), picked.ok() ? layout(picked->partition) : picked.status().message(),
                    fmt::format("{:.0f} %", 100 * mfu_of(g, p)), fmt::format("{:.0f} %", 100 * ours.mfu),
                    format_seconds(p.seconds), format_seconds(ours.total),
                    fmt::format("{:+.1f} %", 100 * (ours.total / p.seconds - 1))});
  }
  return fmt::format("<h2>{}</h2>", name) + html_table(rows, 3);
}

std::string table_d(const Gallery& g) {
  std::vector<std::vector<std::string>> rows = {{"table", "phase", "points", "RMS", "median", "worst"}};
  for (const char* name : {"D.2", "D.3", "D.4"}) {
    for (const bool decode : {false, true}) {
      std::vector<MeasuredPoint> list;
      for (const MeasuredPoint& p : g.of(name)) {
        if (p.decode() == decode) list.push_back(p);
      }
      const auto r = residuals(g.tpu, list);
      rows.push_back({name, decode ? "generate" : "prefill", fmt::format("{}", list.size()),
                      fmt::format("{:.1f} %", 100 * rms(r)), fmt::format("{:.1f} %", 100 * quantile_error(r, 0.5)),
                      fmt::format("{:.1f} %", 100 * quantile_error(r, 1))});
    }
  }
  return "<h2>Tables D.2 to D.4: PaLM 540B, not used in the fit</h2>" + html_table(rows, 2);
}

}  // namespace

Result<std::string> gallery_html() {
  Gallery g;
  TESSERA_ASSIGN_OR_RETURN(g.tpu, find_hardware("tpu-v4"));
  TESSERA_ASSIGN_OR_RETURN(g.points, shipped_measured("pope2022", g.tpu));
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path != "measured/pope2022.json") continue;
    TESSERA_ASSIGN_OR_RETURN(g.paper, parse_json(file.text, file.path));
  }
  const CalibrationRecord& c = g.tpu.calibration;
  std::string body =
      "<h1>Efficiently Scaling Transformer Inference, redrawn</h1><p class=\"sub\">Lines and filled dots: this "
      "planner. Open circles: the paper (arXiv 2211.05102, "
      "figures read from their vector form).</p><p class=\"lead\">" +
      escape_html(fmt::format("Seven constants fitted to {} points of PaLM 540B on 64 TPU v4 chips: {:.1f} % RMS "
                              "there, {:.1f} % leave-one-out. The same constants serve "
                              "every other size, slice, layout and table on this page.",
                              c.points, 100 * c.rms, 100 * c.leave_one_out_rms)) +
      "</p><div class=\"charts\">";
  body +=
      figure1(g, true) + figure1(g, false) + figure1_sizes(g) + figure3(g) + figures_6_7_8(g) + figure_b1(g) + "</div>";
  body += table1(g) + table_2_or_3(g, "Table 2") + table_2_or_3(g, "Table 3") + table_d(g);
  return html_page("Efficiently Scaling Transformer Inference, redrawn", body);
}

}  // namespace tessera
