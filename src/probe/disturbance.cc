// Was the machine quiet while it was probed? A probe under load gives limits that are too low, and everything that is
// predicted from them or divided by them is then wrong in the same direction.
#include <algorithm>

#include "probe/probe.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

constexpr double kBusyCpus = 0.2;      // a fifth of a processor: an idle desktop stays below
constexpr double kStolenCpus = 0.1;
constexpr double kLargestSpread = 0.3; // quiet virtual machines: 5 to 20 %
constexpr double kShortStage = 0.1;    // seconds: the system's clock ticks are 10 ms

double trimmed_spread(std::vector<double> samples) {
  if (samples.size() < 2) return 0;
  std::ranges::sort(samples);
  const size_t cut = samples.size() >= 5 ? 1 : 0;
  const double median = quantile(samples, 0.5);
  return median > 0 ? (samples[samples.size() - 1 - cut] - samples[cut]) / median : 0;
}

}  // namespace

double worst_spread(const ProbeReport& report, std::string* what) {
  double worst = 0;
  const auto look = [&](const std::vector<double>& samples, const std::string& name) {
    const double spread = trimmed_spread(samples);
    if (spread <= worst) return;
    worst = spread;
    if (what != nullptr) *what = name;
  };
  for (const BandwidthResult& r : report.memory) {
    const char* pages = r.huge_pages ? "2 MiB" : "4 KiB";
    for (const CoreState state : {CoreState::kNear, CoreState::kFar}) {
      look(values_of(r.samples, state), fmt::format("memory reads of {} threads, {} pages, {}", r.threads, pages, to_string(state)));
    }
  }
  for (const KernelRateResult& r : report.kernels) {
    for (const CoreState state : {CoreState::kNear, CoreState::kFar}) {
      look(values_of(r.decode_gb_per_s, state), fmt::format("{} weights, 1 row, {}", to_string(r.dtype), to_string(state)));
    }
    look(r.prefill_gops, fmt::format("{} weights, 512 rows", to_string(r.dtype)));
  }
  return worst;
}

std::vector<std::string> disturbances_of(const ProbeReport& report) {
  std::vector<std::string> found;
  const auto busiest = [&](double CpuLoad::*field) -> const StageLoad* {
    const StageLoad* most = nullptr;
    for (const StageLoad& l : report.loads) {
      if (l.seconds >= kShortStage && (most == nullptr || l.load.*field > most->load.*field)) most = &l;
    }
    return most;
  };
  if (const StageLoad* l = busiest(&CpuLoad::others); l != nullptr && l->load.others > kBusyCpus) {
    found.push_back(fmt::format("other programs kept {:.1f} processors busy during \"{}\"; the limits may be too low: probe again "
                                "when the machine is quiet",
                                l->load.others, l->stage));
  }
  if (const StageLoad* l = busiest(&CpuLoad::stolen); l != nullptr && l->load.stolen > kStolenCpus) {
    found.push_back(fmt::format("the hypervisor gave {:.1f} processors to other machines during \"{}\"", l->load.stolen, l->stage));
  }
  std::string what;
  if (const double spread = worst_spread(report, &what); spread > kLargestSpread) {
    found.push_back(fmt::format("samples differ by {:.0f} % of their median ({}): something disturbed them", 100 * spread, what));
  }
  return found;
}

}  // namespace tessera
