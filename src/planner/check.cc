// `tessera plan --check results.json`: predicted beside measured, per phase.
#include <algorithm>

#include "planner/calibrate.h"
#include "planner/json_fields.h"
#include "planner/plan.h"

namespace tessera {

Result<std::string> check_results(const std::string& path, const HardwareSpec& hardware) {
  TESSERA_ASSIGN_OR_RETURN(const std::string json, read_text_file(path));
  TESSERA_ASSIGN_OR_RETURN(const std::vector<BenchRecord> records, parse_bench_results(json, path));
  std::vector<MeasuredPoint> points;
  for (const BenchRecord& r : records) points.push_back(r.point);
  const std::vector<Residual> all = residuals(hardware, points);
  std::string text = fmt::format("{:<34} {:<14} {:>11} {:>11} {:>8} {:>11}\n", "model", "test", "measured", "predicted",
                                 "error", "at bench  peak memory, error");
  for (size_t i = 0; i < all.size(); ++i) {
    const double then = records[i].recorded_prediction;
    std::string memory;
    if (records[i].peak_resident_bytes > 0) {
      const MeasuredPoint& p = points[i];
      const double peak = memory_per_chip(p.model, hardware, {}, p.types, records[i].memory).total();
      memory = fmt::format("  {} {:+.1f}%", format_bytes(records[i].peak_resident_bytes),
                           100 * (peak / records[i].peak_resident_bytes - 1));
    }
    text += fmt::format("{:<34} {:<14} {:>11} {:>11} {:>+7.1f}% {:>11}{}\n", points[i].model.name.substr(0, 34),
                        points[i].where, format_seconds(points[i].seconds), format_seconds(all[i].predicted),
                        100 * all[i].relative, then > 0 ? format_seconds(then) : "-", memory);
  }
  for (const bool decode : {false, true}) {
    std::vector<Residual> phase;
    for (const Residual& r : all) {
      if (r.point->decode() == decode) phase.push_back(r);
    }
    if (phase.empty()) continue;
    text +=
        fmt::format("{:<8} {} points: median {:.1f} %, worst {:.1f} %, RMS {:.1f} %\n", decode ? "decode" : "prefill",
                    phase.size(), 100 * quantile_error(phase, 0.5), 100 * quantile_error(phase, 1), 100 * rms(phase));
  }
  return text;
}

}  // namespace tessera
