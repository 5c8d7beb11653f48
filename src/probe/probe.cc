#include "probe/probe.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "base/cpu_features.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

// All pairs of up to 6 processors spread over the mask: enough to see the groups, at 20 ms a pair.
std::vector<LatencyResult> measure_latencies(const MachineInfo& machine) {
  constexpr size_t kMostCpus = 6;
  std::vector<int> cpus;
  const size_t count = std::min(machine.cpus.size(), kMostCpus);
  for (size_t i = 0; i < count; ++i) cpus.push_back(machine.cpus[i * machine.cpus.size() / count]);
  std::vector<LatencyResult> results;
  for (size_t i = 0; i < cpus.size(); ++i) {
    for (size_t j = i + 1; j < cpus.size(); ++j) {
      results.push_back({cpus[i], cpus[j], ping_pong_ns(cpus[i], cpus[j], 0.02)});
    }
  }
  return results;
}

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

double best_peak(const ProbeReport& report, PeakType type, int threads) {
  double best = 0;
  for (const PeakResult& peak : report.peaks) {
    if (peak.type == type && peak.threads == threads) best = std::max(best, quantile(peak.samples, 0.5));
  }
  return best;
}

// Announces the stages and notes what else ran during each.
class StageClock {
 public:
  StageClock(ProbeReport* report, const ProbeOptions& options, const std::function<void(std::string_view)>& note)
      : report_(report), options_(options), note_(note) {}
  Status go_on() const {
    return options_.go_on && !options_.go_on() ? Status(StatusCode::kCancelled, "interrupted") : Status();
  }
  Status begin(std::string name) {
    end();
    TESSERA_RETURN_IF_ERROR(go_on());
    note_(name);
    name_ = std::move(name);
    before_ = CpuTimes::now();
    start_ = std::chrono::steady_clock::now();
    return {};
  }
  void end() {
    if (name_.empty()) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    report_->loads.push_back({std::exchange(name_, {}), seconds, load_between(before_, CpuTimes::now(), seconds)});
  }

 private:
  ProbeReport* report_;
  const ProbeOptions& options_;
  const std::function<void(std::string_view)>& note_;
  std::string name_;
  CpuTimes before_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace

std::vector<int> probe_thread_counts(int most) {
  std::vector<int> counts;
  for (int n = 1; n < most; n *= 2) counts.push_back(n);
  counts.push_back(std::max(most, 1));
  return counts;
}

Result<ProbeReport> probe_machine(const ProbeOptions& options, const std::function<void(std::string_view)>& note) {
  const auto begin = std::chrono::steady_clock::now();
  ProbeReport report;
  report.machine = machine_info();
  report.time = utc_now();
  const std::vector<int> counts =
      probe_thread_counts(options.threads > 0 ? options.threads : report.machine.default_threads);
  const std::vector<int> ends = counts.size() > 1 ? std::vector<int>{1, counts.back()} : counts;

  report.state_before = sample_core_state(report.machine.cpus);
  StageClock stage(&report, options, note);
  TESSERA_RETURN_IF_ERROR(stage.begin("memory bandwidth"));
  TESSERA_ASSIGN_OR_RETURN(report.memory, measure_memory_bandwidth(report.machine, counts,
                                                                   options.buffer_bytes > 0 ? options.buffer_bytes : memory_buffer_bytes(report.machine, 512u << 20),
                                                                   options.repetitions));
  TESSERA_RETURN_IF_ERROR(stage.begin("cache bandwidth"));
  TESSERA_ASSIGN_OR_RETURN(report.caches, measure_cache_bandwidth(report.machine, ends, options.repetitions));
  TESSERA_RETURN_IF_ERROR(stage.begin("multiply-add rate"));
  report.peaks = measure_peaks(ends, options.repetitions);
  TESSERA_RETURN_IF_ERROR(stage.begin("core to core"));
  report.latencies = measure_latencies(report.machine);
  TESSERA_RETURN_IF_ERROR(stage.begin("barrier"));
  report.barriers = measure_barriers(counts, options.repetitions);
  if (options.kernels) {
    TESSERA_RETURN_IF_ERROR(stage.begin("kernels"));
    for (const DType dtype : probed_weight_types()) {
      TESSERA_RETURN_IF_ERROR(stage.go_on());
      TESSERA_ASSIGN_OR_RETURN(KernelRateResult rate, measure_kernel_rate(dtype, {.threads = counts.back()}));
      report.kernels.push_back(std::move(rate));
    }
  }
  stage.end();
  report.state_after = sample_core_state(report.machine.cpus);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

MachineLimits limits_of(const ProbeReport& report, int threads) {
  MachineLimits limits;
  for (const BandwidthResult& result : report.memory) {
    if (result.threads != threads) continue;
    const auto better = [&](double& limit, const std::vector<double>& samples) {
      limit = std::max(limit, quantile(samples, 0.5));
    };
    better(limits.read_gb_per_s, values_of(result.samples));
    better(limits.read_near_gb_per_s, values_of(result.samples, CoreState::kNear));
    better(limits.read_far_gb_per_s, values_of(result.samples, CoreState::kFar));
  }
  limits.f32_gops = best_peak(report, PeakType::kF32, threads);
  limits.bf16_gops = best_peak(report, PeakType::kBF16, threads);
  limits.i8_gops = best_peak(report, PeakType::kI8, threads);
  return limits;
}

}  // namespace tessera
