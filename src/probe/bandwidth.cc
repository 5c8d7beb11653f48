#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/cpu_features.h"
#include "probe/measure.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kGrain = 4096;  // parts are multiples of this

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Part {
  const std::byte* data;
  uint64_t bytes;
};

Part part_of(const std::byte* data, uint64_t bytes, int thread, int threads) {
  const uint64_t each = bytes / threads / kGrain * kGrain;
  return {data + each * thread, each};
}

// GB/s of all threads reading their parts `passes` times.
double read_rate(ThreadPool& pool, ReadLoop read, const std::byte* data, uint64_t bytes, int64_t passes) {
  const int threads = pool.threads();
  const auto begin = Clock::now();
  pool.run([&](int thread) {
    const Part part = part_of(data, bytes, thread, threads);
    for (int64_t pass = 0; pass < passes; ++pass) read(part.data, part.bytes);
  });
  const double seconds = seconds_since(begin);
  const double total = static_cast<double>(part_of(data, bytes, 0, threads).bytes) * threads * passes;
  return total / seconds * 1e-9;
}

void touch(ThreadPool& pool, std::byte* data, uint64_t bytes) {
  pool.parallel_for(static_cast<int64_t>(bytes / kGrain), 4096, [&](int64_t begin, int64_t end, int) {
    std::memset(data + begin * kGrain, 1, (end - begin) * kGrain);
  });
}

}  // namespace

uint64_t memory_buffer_bytes(const MachineInfo& machine, uint64_t least) {
  uint64_t last_level = 0;
  for (const CacheLevel& cache : machine.caches) last_level = std::max(last_level, cache.bytes);
  const uint64_t allowed = std::max<uint64_t>(machine.available_bytes / 4, 16u << 20);
  return std::min(std::max(least, 4 * last_level), allowed) >> 21 << 21;
}

std::vector<double> values_of(std::span<const StateSample> samples) {
  std::vector<double> values;
  for (const StateSample& s : samples) values.push_back(s.value);
  return values;
}

std::vector<double> values_of(std::span<const StateSample> samples, CoreState state) {
  std::vector<double> values;
  for (const StateSample& s : samples) {
    if (s.state == state) values.push_back(s.value);
  }
  return values;
}

Result<std::vector<BandwidthResult>> measure_memory_bandwidth(const MachineInfo& machine,
                                                              std::span<const int> thread_counts, uint64_t buffer_bytes,
                                                              int repetitions) {
  const ReadLoop read = best_read_loop(cpu_features());
  std::vector<BandwidthResult> results;
  for (const bool huge : {false, true}) {
    TESSERA_ASSIGN_OR_RETURN(const PagedMemory memory, PagedMemory::map(buffer_bytes, huge));
    ThreadPool toucher(machine.default_threads);
    touch(toucher, memory.data(), memory.size());
    for (const int threads : thread_counts) {
      ThreadPool pool(threads);
      BandwidthResult result{threads, huge, {}};
      (void)read_rate(pool, read, memory.data(), memory.size(), 1);
      CoreStateSample before = sample_core_state(machine.cpus);
      for (int i = 0; i < repetitions; ++i) {
        const double rate = read_rate(pool, read, memory.data(), memory.size(), 1);
        const CoreStateSample after = sample_core_state(machine.cpus);
        result.samples.push_back({rate, combine(before, after)});
        before = after;
      }
      results.push_back(std::move(result));
    }
  }
  return results;
}

Result<std::vector<CacheResult>> measure_cache_bandwidth(const MachineInfo& machine, std::span<const int> thread_counts,
                                                         int repetitions) {
  const ReadLoop read = best_read_loop(cpu_features());
  constexpr double kSampleSeconds = 0.01, kGuessBytesPerSecond = 50e9;
  std::vector<CacheResult> results;
  for (const CacheLevel& cache : machine.caches) {
    for (const int threads : thread_counts) {
      // Half of what these threads hold together: private caches add up, a shared one is split.
      const uint64_t instances = std::max(1, threads / std::max(1, cache.shared_by));
      const uint64_t bytes = std::max<uint64_t>(cache.bytes / 2 * instances, kGrain * threads);
      TESSERA_ASSIGN_OR_RETURN(const PagedMemory memory, PagedMemory::map(bytes, true));
      ThreadPool pool(threads);
      touch(pool, memory.data(), memory.size());
      const auto passes = std::max<int64_t>(
          1, static_cast<int64_t>(kSampleSeconds * kGuessBytesPerSecond * threads / static_cast<double>(bytes)));
      CacheResult result{cache.level, bytes, threads, {}};
      (void)read_rate(pool, read, memory.data(), memory.size(), 1 + passes / 4);
      for (int i = 0; i < repetitions; ++i) {
        result.samples.push_back(read_rate(pool, read, memory.data(), memory.size(), passes));
      }
      results.push_back(std::move(result));
    }
  }
  return results;
}

}  // namespace tessera
