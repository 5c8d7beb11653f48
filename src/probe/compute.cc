#include <chrono>

#include "base/cpu_features.h"
#include "probe/measure.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr double kSampleSeconds = 0.01;

int64_t calibrate(const PeakLoop& loop) {
  for (int64_t iterations = 1000;; iterations *= 4) {
    const auto begin = Clock::now();
    (void)loop.run(iterations);
    const double seconds = seconds_since(begin);
    if (seconds > kSampleSeconds / 4) return 1 + static_cast<int64_t>(iterations * (kSampleSeconds / seconds));
  }
}

}  // namespace

std::vector<PeakResult> measure_peaks(std::span<const int> thread_counts, int repetitions) {
  std::vector<PeakResult> results;
  const uint32_t features = cpu_features();
  for (const PeakLoop& loop : all_peak_loops()) {
    if ((loop.features & features) != loop.features) continue;
    const int64_t iterations = calibrate(loop);
    for (const int threads : thread_counts) {
      ThreadPool pool(threads);
      PeakResult result{loop.instruction, loop.type, threads, {}};
      for (int i = 0; i < repetitions; ++i) {
        const auto begin = Clock::now();
        pool.run([&](int) { (void)loop.run(iterations); });
        const double operations = loop.run(1) * static_cast<double>(iterations) * threads;
        result.samples.push_back(operations / seconds_since(begin) * 1e-9);
      }
      results.push_back(std::move(result));
    }
  }
  return results;
}

std::vector<BarrierResult> measure_barriers(std::span<const int> thread_counts, int repetitions) {
  constexpr int kSections = 1000;
  std::vector<BarrierResult> results;
  for (const int threads : thread_counts) {
    if (threads < 2) continue;
    ThreadPool pool(threads);
    BarrierResult result{threads, {}};
    for (int i = 0; i <= repetitions; ++i) {
      const auto begin = Clock::now();
      for (int k = 0; k < kSections; ++k) pool.run([](int) {});
      if (i > 0) result.samples.push_back(seconds_since(begin) * 1e9 / kSections);  // the first run wakes the threads
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace tessera
