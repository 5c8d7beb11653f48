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

namespace {

// One thread's share of the chunks of a loop. The owner takes from the front, so that it walks through memory in one
// stream; who has finished takes from the back of the others.
struct alignas(64) Share {
  std::atomic<uint64_t> range{0};  // begin in the high, end in the low half

  static uint64_t pack(uint32_t begin, uint32_t end) { return uint64_t{begin} << 32 | end; }
  bool take_front(uint32_t* chunk) {
    for (uint64_t r = range.load(std::memory_order_relaxed);;) {
      const auto begin = static_cast<uint32_t>(r >> 32), end = static_cast<uint32_t>(r);
      if (begin >= end) return false;
      *chunk = begin;
      if (range.compare_exchange_weak(r, pack(begin + 1, end), std::memory_order_relaxed)) return true;
    }
  }
  bool take_back(uint32_t* chunk) {
    for (uint64_t r = range.load(std::memory_order_relaxed);;) {
      const auto begin = static_cast<uint32_t>(r >> 32), end = static_cast<uint32_t>(r);
      if (begin >= end) return false;
      *chunk = end - 1;
      if (range.compare_exchange_weak(r, pack(begin, end - 1), std::memory_order_relaxed)) return true;
    }
  }
};

}  // namespace

struct ThreadPool::Shared {
  alignas(64) std::atomic<uint32_t> generation{0};  // a new value starts a section
  alignas(64) std::atomic<int32_t> running{0};      // workers that have not finished the section
  FunctionRef<void(int)>* fn = nullptr;
  bool stop = false;
  bool in_section = false;
  std::vector<std::thread> workers;
  std::vector<Share> shares;  // parallel_for: of each thread

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
  shared_->shares = std::vector<Share>(static_cast<size_t>(threads));
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
  // Chunks are numbered with 32 bits.
  grain = std::max(grain, n / (int64_t{1} << 31) + 1);
  const auto chunks = static_cast<uint32_t>((n + grain - 1) / grain);
  const auto count = static_cast<uint32_t>(threads());
  for (uint32_t i = 0; i < count; ++i) {
    s.shares[i].range.store(Share::pack(static_cast<uint32_t>(uint64_t{chunks} * i / count),
                                        static_cast<uint32_t>(uint64_t{chunks} * (i + 1) / count)),
                            std::memory_order_relaxed);
  }
  const auto call = [&](uint32_t chunk, int thread) {
    const int64_t begin = chunk * grain;
    fn(begin, std::min(begin + grain, n), thread);
  };
  run([&](int thread) {
    uint32_t chunk = 0;
    while (s.shares[thread].take_front(&chunk)) call(chunk, thread);
    for (uint32_t i = 1; i < count; ++i) {
      Share& other = s.shares[(static_cast<uint32_t>(thread) + i) % count];
      while (other.take_back(&chunk)) call(chunk, thread);
    }
  });
}

}  // namespace tessera
