#include "probe/core_latency.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "probe/machine.h"
#include "probe/statistics.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRoundTripsPerBatch = 64;
constexpr double kNearLimitNs = 80;
constexpr uint32_t kStop = ~0u;

struct alignas(64) Ball {
  std::atomic<uint32_t> value{0};
};

// Odd values are answered with the next even one. Spins without pause: the pause instruction alone takes 40-140 cycles,
// more than the hand-over. Yields now and then, so that two threads forced onto one busy core still finish.
uint32_t wait_until_not(const std::atomic<uint32_t>& ball, uint32_t old) {
  for (uint32_t spins = 1;; ++spins) {
    const uint32_t now = ball.load(std::memory_order_acquire);
    if (now != old) return now;
    if (spins % 100000 == 0) std::this_thread::yield();
  }
}

void answer(Ball& ball) {
  uint32_t seen = 0;
  for (;;) {
    const uint32_t now = wait_until_not(ball.value, seen);
    if (now == kStop) return;
    seen = now + 1;
    ball.value.store(seen, std::memory_order_release);
  }
}

std::vector<double> serve(Ball& ball, double seconds) {
  std::vector<double> batches;
  uint32_t value = 0;
  const auto round_trips = [&] {
    for (int i = 0; i < kRoundTripsPerBatch; ++i) {
      ball.value.store(value + 1, std::memory_order_release);
      value = wait_until_not(ball.value, value + 1);
    }
  };
  round_trips();  // the other thread may still be starting
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  do {
    const auto begin = Clock::now();
    round_trips();
    const std::chrono::duration<double, std::nano> elapsed = Clock::now() - begin;
    batches.push_back(elapsed.count() / (2 * kRoundTripsPerBatch));
  } while (Clock::now() < end && value < (1u << 31));
  ball.value.store(kStop, std::memory_order_release);
  return batches;
}

}  // namespace

std::string_view to_string(CoreState state) {
  switch (state) {
    case CoreState::kNear: return "near";
    case CoreState::kFar: return "far";
    case CoreState::kUnknown: break;
  }
  return "unknown";
}

std::vector<double> ping_pong_ns(int cpu_a, int cpu_b, double seconds) {
  Ball ball;
  std::vector<double> batches;
  std::atomic<bool> pinned{true};
  std::thread second([&] {
    if (!pin_to_cpu(cpu_b)) pinned = false;
    answer(ball);
  });
  std::thread first([&] {
    if (!pin_to_cpu(cpu_a)) pinned = false;
    batches = serve(ball, seconds);
  });
  first.join();
  second.join();
  if (!pinned) batches.clear();
  return batches;
}

CoreState core_state_of(double one_way_ns) { return one_way_ns < kNearLimitNs ? CoreState::kNear : CoreState::kFar; }

CoreStateSample sample_core_state(const std::vector<int>& cpus) {
  if (cpus.size() < 2) return {};
  const std::vector<double> batches = ping_pong_ns(cpus[0], cpus[1], 0.003);
  if (batches.empty()) return {};
  const double median = quantile(batches, 0.5);
  return {core_state_of(median), median};
}

CoreState combine(const CoreStateSample& before, const CoreStateSample& after) {
  return before.state == after.state ? before.state : CoreState::kUnknown;
}

}  // namespace tessera
