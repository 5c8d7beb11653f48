#include "cli/probe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/pending_file.h"
#include "cli/console.h"
#include "formats/text.h"
#include "probe/limits_now.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

using nlohmann::json;

double median(std::span<const double> samples) { return quantile(samples, 0.5); }

int most_threads(const ProbeReport& report) {
  int threads = 1;
  for (const BandwidthResult& r : report.memory) threads = std::max(threads, r.threads);
  return threads;
}

}  // namespace

HardwareSpec hardware_from_probe(const ProbeReport& report, HardwareSpec base) {
  const int threads = most_threads(report);
  const MachineLimits limits = limits_of(report, threads);
  base.name = "this";
  base.description = fmt::format("{}, {} threads, probed {}", report.machine.cpu_model, threads, report.time);
  base.sources = {"tessera probe"};
  base.peak_flops["f32"] = limits.f32_gops * 1e9;
  // Without a unit of its own a type is computed in the next wider one.
  base.peak_flops["bf16"] = std::max(limits.bf16_gops, limits.f32_gops) * 1e9;
  base.peak_flops["int8"] = std::max(limits.i8_gops, limits.bf16_gops) * 1e9;
  base.memory_bandwidth = limits.read_gb_per_s * 1e9;
  if (report.machine.memory_bytes > 0) base.memory_bytes = static_cast<double>(report.machine.memory_bytes);
  base.cores = static_cast<int64_t>(std::max<size_t>(report.machine.cpus.size(), threads));
  base.compute_in_int8 = true;
  for (const KernelRateResult& r : report.kernels) {
    base.kernels[std::string(to_string(r.dtype))] = {median(r.prefill_gops) * 1e9,
                                                     median(values_of(r.decode_gb_per_s)) * 1e9, r.half_rate_rows};
  }
  use_engine_constants(&base);
  if (const auto warnings = disturbances_of(report); !warnings.empty()) {
    base.description += fmt::format(" on a machine that was not quiet: {}", warnings.front());
    CalibrationRecord& record = base.calibration;
    record.leave_one_out_p90 = std::clamp(worst_spread(report), std::max(record.leave_one_out_p90, 0.3), 1.0);
    record.note += "; wider, since the probe was disturbed";
  }
  return base;
}

HardwareSpec in_core_state(HardwareSpec hardware, const ProbeReport& report, CoreState state) {
  if (state == CoreState::kUnknown) return hardware;
  const MachineLimits limits = limits_of(report, most_threads(report));
  const double read = state == CoreState::kNear ? limits.read_near_gb_per_s : limits.read_far_gb_per_s;
  if (read > 0) hardware.memory_bandwidth = read * 1e9;
  for (const KernelRateResult& r : report.kernels) {
    const std::vector<double> rates = values_of(r.decode_gb_per_s, state);
    const auto kernel = hardware.kernels.find(std::string(to_string(r.dtype)));
    if (!rates.empty() && kernel != hardware.kernels.end()) kernel->second.weight_bandwidth = median(rates) * 1e9;
  }
  return hardware;
}

Status save_probe(const ProbeReport& report, const std::string& path) {
  json document = json::parse(hardware_to_json(hardware_from_probe(report, this_machine())), nullptr, false);
  if (!document.is_object()) return Status(StatusCode::kInternal, "the hardware description is no JSON object");
  document["probe"] = probe_to_json(report);
  make_folders_for(path);
  return write_file(path, document.dump(2) + "\n");
}

Result<ProbeReport> load_probe(const std::string& path) {
  const Result<std::string> text = read_text_file(path);
  if (text.status().code() == StatusCode::kNotFound) {
    return not_found("{}: no such file; `tessera probe` writes it", path);
  }
  if (!text.ok()) return text.status();
  const json document = json::parse(*text, nullptr, false);
  if (!document.is_object()) return invalid_argument("{}: expected a JSON object", path);
  const auto probe = document.find("probe");
  if (probe == document.end()) return not_found("{}: holds no probe; `tessera probe` writes one", path);
  auto report = probe_from_json(*probe);
  if (!report.ok()) return report.status().with_context(path);
  return report;
}

Status run_probe(const ProbeVerbOptions& options) {
  const std::string path = options.output.empty() ? probed_hardware_path() : options.output;
  ProbeOptions probe = options.probe;
  probe.go_on = [] { return !interrupted(); };
  auto report = probe_machine(probe, [](std::string_view stage) { fmt::print(stderr, "probe: {}\n", stage); });
  if (!report.ok()) return report.status();
  if (options.json) {
    fmt::print("{}\n", probe_to_json(*report).dump(2));
  } else {
    fmt::print("{}", probe_table(*report));
  }
  if (path.empty()) return invalid_argument("-o: expected a path, neither XDG_CONFIG_HOME nor HOME is set");
  TESSERA_RETURN_IF_ERROR(save_probe(*report, path));
  for (const std::string& warning : disturbances_of(*report)) {
    if (options.json) fmt::print(stderr, "warning: {}\n", warning);  // the table has them
  }
  fmt::print(stderr, "\nwritten to {}\n", printable(path));
  return {};
}

Status print_core_state() {
  const CoreStateSample sample = sample_core_state(machine_info().cpus);
  fmt::print("{}\n", json{{"state", to_string(sample.state)}, {"one_way_ns", sample.one_way_ns}}.dump());
  return {};
}

Status print_limits_now(int threads) {
  const LimitsNow now = measure_limits_now(threads);
  fmt::print("{}\n", json{{"state", to_string(now.state.state)},
                          {"one_way_ns", now.state.one_way_ns},
                          {"read_gb_per_s", now.read_gb_per_s},
                          {"read_one_gb_per_s", now.read_one_gb_per_s},
                          {"i8_gops", now.i8_gops},
                          {"bf16_gops", now.bf16_gops},
                          {"f32_gops", now.f32_gops}}
                         .dump());
  return {};
}

}  // namespace tessera
