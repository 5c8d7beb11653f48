#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

namespace tessera {
namespace {

// About 20-50 microseconds of pause instructions before a waiting thread goes to sleep: longer than the gap between
// two matmuls of a decode step, shorter than a scheduler tick.
constexpr int kSpinIterations = 2000;

inline void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until counter != old: spins, then sleeps on the futex behind std::atomic::wait.
template <class T>
T wait_for_change(std::atomic<T>& counter, T old) {
  for (int i = 0; i < kSpinIterations; ++i) {
    const T now = counter.load(std::memory_order_acquire);
    if (now != old) return now;
    cpu_pause();
  }
  counter.wait(old, std::memory_order_acquire);
  return counter.load(std::memory_order_acquire);
}

std::optional<double> read_quota_cpus() {
  // cgroup v2: "max 100000" or "150000 100000"; v1: two files.
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    std::string quota;
    double period = 0;
    if (v2 >> quota >> period && quota != "max" && period > 0) return std::strtod(quota.c_str(), nullptr) / period;
    return std::nullopt;
  }
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

}  // namespace

int default_thread_count() {
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) count = std::max(1, CPU_COUNT(&mask));
  if (const auto quota = read_quota_cpus()) count = std::min(count, std::max(1, static_cast<int>(std::floor(*quota))));
  return count;
}

struct ThreadPool::Shared {
  alignas(64) std::atomic<uint32_t> generation{0};  // a new value starts a section
  alignas(64) std::atomic<int32_t> running{0};      // workers that have not finished the section
  alignas(64) std::atomic<int64_t> next{0};         // parallel_for: next chunk begins here
  FunctionRef<void(int)>* fn = nullptr;
  bool stop = false;
  bool in_section = false;
  std::vector<std::thread> workers;

  void work(int thread) {
    uint32_t seen = 0;
    for (;;) {
      seen = wait_for_change(generation, seen);
      if (stop) return;
      (*fn)(thread);
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) running.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : shared_(std::make_unique<Shared>()) {
  if (threads <= 0) threads = default_thread_count();
  for (int i = 1; i < threads; ++i) {
    shared_->workers.emplace_back([shared = shared_.get(), i] { shared->work(i); });
  }
}

ThreadPool::~ThreadPool() {
  shared_->stop = true;
  shared_->generation.fetch_add(1, std::memory_order_release);
  shared_->generation.notify_all();
  for (auto& worker : shared_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(shared_->workers.size()) + 1; }

void ThreadPool::run(FunctionRef<void(int)> fn) {
  Shared& s = *shared_;
  TESSERA_CHECK(!s.in_section, "a parallel section inside a parallel section");
  if (s.workers.empty()) {
    fn(0);
    return;
  }
  s.in_section = true;
  s.fn = &fn;
  s.running.store(static_cast<int32_t>(s.workers.size()), std::memory_order_relaxed);
  s.generation.fetch_add(1, std::memory_order_release);
  s.generation.notify_all();
  fn(0);
  for (int32_t left = s.running.load(std::memory_order_acquire); left != 0;) left = wait_for_change(s.running, left);
  s.in_section = false;
}

void ThreadPool::parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> fn) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (n <= grain || threads() == 1) {
    fn(0, n, 0);
    return;
  }
  Shared& s = *shared_;
  s.next.store(0, std::memory_order_relaxed);
  run([&](int thread) {
    for (;;) {
      const int64_t begin = s.next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) return;
      fn(begin, std::min(begin + grain, n), thread);
    }
  });
}

}  // namespace tessera
