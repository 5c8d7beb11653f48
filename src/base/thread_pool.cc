#include "base/thread_pool.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/cpu_quota.h"
#include "base/crowding.h"

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

// Spins a while for value != old.
bool spin_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpinIterations; ++i) {
    if (value.load(std::memory_order_acquire) != old) return true;
    cpu_pause();
  }
  return false;
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

int default_thread_count() {
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) count = std::max(1, CPU_COUNT(&mask));
  if (const auto quota = cgroup_cpu_quota()) count = std::min(count, std::max(1, static_cast<int>(std::floor(*quota))));
  return count;
}

namespace {

// One thread's share of the chunks of a loop. The owner takes from the front, so that it walks through memory in one
// stream; who has finished takes from the back of the others.
struct alignas(64) Share {
  static constexpr uint32_t kMostChunks = 4;

  std::atomic<uint64_t> range{0};  // begin in the high, end in the low half

  static uint64_t pack(uint32_t begin, uint32_t end) { return uint64_t{begin} << 32 | end; }
  // Several chunks while many are left: a locked instruction waits for every load before it, so the stream of reads
  // starts anew behind each.
  uint32_t take_front(uint32_t* chunk) {
    for (uint64_t r = range.load(std::memory_order_relaxed);;) {
      const auto begin = static_cast<uint32_t>(r >> 32), end = static_cast<uint32_t>(r);
      if (begin >= end) return 0;
      *chunk = begin;
      const uint32_t taken = std::clamp((end - begin) / 4, 1u, kMostChunks);
      if (range.compare_exchange_weak(r, pack(begin + taken, end), std::memory_order_relaxed)) return taken;
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

// What a worker does. It takes up what it is offered or, when it comes too late (its processor was busy), finds that
// the others have done the work and the offer is gone.
enum State : uint32_t { kIdle, kOffered, kWorking, kStop };

struct ThreadPool::Shared : Crowding::System {
  struct alignas(64) Seat {
    std::atomic<uint32_t> state{kIdle};
    std::atomic<int> thread_id{0};  // workers
  };

  FunctionRef<void(int)>* fn = nullptr;
  bool in_section = false;
  int64_t lost_ns = 0;        // by the last section, see Crowding
  int count;                  // threads, this one included
  std::vector<Seat> seats;    // [threads]; the first one's state is unused
  std::vector<Share> shares;  // parallel_for: of each thread
  std::vector<std::thread> workers;
  Crowding crowding;

  explicit Shared(int threads)
      : count(threads), seats(static_cast<size_t>(threads)), shares(static_cast<size_t>(threads)), crowding(threads) {}

  int threads() const { return count; }

  void work(int thread) {
    Seat& seat = seats[static_cast<size_t>(thread)];
    seat.thread_id = gettid();
    for (;;) {
      uint32_t state = seat.state.load(std::memory_order_acquire);
      if (state == kIdle) {
        if (!spin_for_change(seat.state, kIdle)) seat.state.wait(kIdle, std::memory_order_acquire);
        continue;
      }
      if (state == kStop) return;
      if (!seat.state.compare_exchange_strong(state, kWorking, std::memory_order_acquire)) continue;
      (*fn)(thread);
      set_state(seat, kIdle);
    }
  }

  // A plain store could pass the look at the list of sleepers that follows, and leave one asleep.
  static void set_state(Seat& seat, uint32_t state) {
    seat.state.exchange(state, std::memory_order_seq_cst);
    seat.state.notify_one();
  }

  // Runs fn on this thread and on the workers that `wanted` names; `all`: also waits for those that come late.
  void section(FunctionRef<void(int)> section_fn, FunctionRef<bool(int)> wanted, bool all) {
    TESSERA_CHECK(!in_section, "a parallel section inside a parallel section");
    in_section = true;
    fn = &section_fn;
    for (int i = 1; i < threads(); ++i) {
      if (wanted(i)) set_state(seats[static_cast<size_t>(i)], kOffered);
    }
    // Between sections everybody waits for this thread, so the last one's books are closed while the workers are busy again.
    const int64_t begin_ns = now_ns();
    crowding.section_ended(begin_ns, std::exchange(lost_ns, 0), *this);
    section_fn(0);
    for (int i = 1; i < threads(); ++i) wait_for(seats[static_cast<size_t>(i)], all, begin_ns);
    in_section = false;
  }

  std::optional<int64_t> delay_ns(int thread) override {
    return run_delay_ns(thread == 0 ? gettid() : seats[static_cast<size_t>(thread)].thread_id.load());
  }
  bool separate(int thread) override { return move_away(seats[static_cast<size_t>(thread)].thread_id); }

  // Adds to what was lost: the time slept, or the whole section if the worker never came to take part.
  void wait_for(Seat& seat, bool all, int64_t section_begin_ns) {
    for (;;) {
      uint32_t state = kOffered;
      if (!all && seat.state.compare_exchange_strong(state, kIdle)) {
        lost_ns = std::max(lost_ns, now_ns() - section_begin_ns);
        return;
      }
      state = seat.state.load(std::memory_order_acquire);
      if (state == kIdle) return;
      if (spin_for_change(seat.state, state)) continue;
      const int64_t begin = now_ns();
      seat.state.wait(state, std::memory_order_acquire);
      lost_ns += now_ns() - begin;
    }
  }
};

ThreadPool::ThreadPool(int threads)
    : shared_(std::make_unique<Shared>(threads > 0 ? threads : default_thread_count())) {
  for (int i = 1; i < shared_->threads(); ++i) {
    try {
      shared_->workers.emplace_back([shared = shared_.get(), i] { shared->work(i); });
    } catch (const std::system_error&) {  // the system gives no more threads: those that are there do the work
      shared_->count = i;
      shared_->crowding = Crowding(i);
    }
  }
}

ThreadPool::~ThreadPool() {
  for (int i = 1; i < threads(); ++i) Shared::set_state(shared_->seats[static_cast<size_t>(i)], kStop);
  for (auto& worker : shared_->workers) worker.join();
}

int ThreadPool::threads() const { return shared_->threads(); }

void ThreadPool::run(FunctionRef<void(int)> fn) {
  shared_->section(
      fn, [](int) { return true; }, true);
}

void ThreadPool::parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> fn) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (n <= grain) return fn(0, n, 0);
  if (threads() == 1) {
    for (int64_t begin = 0; begin < n; begin += Share::kMostChunks * grain) {
      fn(begin, std::min(begin + Share::kMostChunks * grain, n), 0);
    }
    return;
  }
  Shared& s = *shared_;
  // Chunks are numbered with 32 bits.
  grain = std::max(grain, n / (int64_t{1} << 31) + 1);
  const auto chunks = static_cast<uint32_t>((n + grain - 1) / grain);
  const auto active = static_cast<uint32_t>(threads() - s.crowding.resting());
  const uint32_t count = std::min(active, chunks);
  uint32_t part = 0;
  for (int i = 0; i < threads(); ++i) {
    const bool works = part < count && !s.crowding.rests(i);
    const uint64_t begin = works ? part : 0, end = works ? ++part : 0;
    s.shares[static_cast<size_t>(i)].range.store(
        Share::pack(static_cast<uint32_t>(chunks * begin / count), static_cast<uint32_t>(chunks * end / count)),
        std::memory_order_relaxed);
  }
  const auto call = [&](uint32_t chunk, uint32_t taken, int thread) {
    const int64_t begin = chunk * grain;
    fn(begin, std::min(begin + taken * grain, n), thread);
  };
  const auto work = [&](int thread) {
    const auto self = static_cast<size_t>(thread);
    uint32_t chunk = 0;
    while (const uint32_t taken = s.shares[self].take_front(&chunk)) call(chunk, taken, thread);
    for (size_t i = 1; i < s.shares.size(); ++i) {
      Share& other = s.shares[(self + i) % s.shares.size()];
      while (other.take_back(&chunk)) call(chunk, 1, thread);
    }
  };
  const auto wanted = [&](int thread) {
    return s.shares[static_cast<size_t>(thread)].range.load(std::memory_order_relaxed) != 0;
  };
  s.section(work, wanted, false);
}

}  // namespace tessera
