#include "probe/limits_now.h"

#include <chrono>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/cpu_features.h"
#include "probe/machine.h"
#include "probe/measure.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastBytes = 256u << 20;
constexpr int kPasses = 9;
constexpr int64_t kPeakIterations = 4000000;  // 20 to 40 ms where 64 operations start in a cycle

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Not the best: a burst of some milliseconds is no limit for what takes a second.
template <class Measure>
double median_of(int passes, Measure measure) {
  std::vector<double> values;
  for (int i = 0; i < passes; ++i) values.push_back(measure());
  return quantile(values, 0.5);
}

}  // namespace

double read_gb_per_s(ThreadPool& pool, const AlignedBytes& data) {
  const ReadLoop read = best_read_loop(cpu_features());
  const auto start = Clock::now();
  pool.parallel_for(static_cast<int64_t>(data.size()), 1 << 20, [&](int64_t begin, int64_t end, int) {
    read(data.data() + begin, static_cast<uint64_t>(end - begin));
  });
  return static_cast<double>(data.size()) / since(start) / 1e9;
}

double peak_gops(ThreadPool& pool, PeakType type, int64_t iterations) {
  const PeakLoop* best = nullptr;
  for (const PeakLoop& loop : all_peak_loops()) {
    const bool runs = (loop.features & cpu_features()) == loop.features;
    const bool stands_in = loop.type == PeakType::kF32 && (best == nullptr || best->type == PeakType::kF32);
    if (runs && (loop.type == type || stands_in)) best = &loop;
  }
  std::vector<double> done(static_cast<size_t>(pool.threads()));
  const auto start = Clock::now();
  pool.run([&](int thread) { done[static_cast<size_t>(thread)] = best->run(iterations); });
  return std::accumulate(done.begin(), done.end(), 0.0) / since(start) / 1e9;
}

LimitsNow measure_limits_now(int threads) {
  const MachineInfo machine = machine_info();
  LimitsNow limits;
  limits.state = sample_core_state(machine.cpus);
  ThreadPool all(threads), one(1);
  AlignedBytes data(memory_buffer_bytes(machine, kLeastBytes));
  all.parallel_for(static_cast<int64_t>(data.size()), 1 << 21, [&](int64_t begin, int64_t end, int) {
    std::memset(data.data() + begin, 1, static_cast<size_t>(end - begin));
  });
  limits.read_gb_per_s = median_of(kPasses, [&] { return read_gb_per_s(all, data); });
  limits.read_one_gb_per_s = median_of(kPasses, [&] { return read_gb_per_s(one, data); });
  const auto peak = [&](PeakType type) { return median_of(3, [&] { return peak_gops(all, type, kPeakIterations); }); };
  limits.i8_gops = peak(PeakType::kI8);
  limits.bf16_gops = peak(PeakType::kBF16);
  limits.f32_gops = peak(PeakType::kF32);
  return limits;
}

}  // namespace tessera
