#include "base/crowding.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <span>
#include <string_view>

namespace tessera {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kWindow = 10 * kMillisecond;    // a few slices of the scheduler
constexpr int64_t kLongestWindow = 10 * kWindow;  // a pool that was idle in between has nothing to tell
constexpr int64_t kLossShare = 6;                 // a sixth of a window lost: somebody has to rest
constexpr int64_t kDelayShare = 10;               // a tenth of it without a processor: this thread is crowded
constexpr int64_t kFirstRest = 40 * kMillisecond, kLongestRest = 800 * kMillisecond;

// The beginning of /proc/self/task/ID/NAME.
std::string_view read_task_file(int thread_id, const char* name, std::span<char> memory) {
  std::snprintf(memory.data(), memory.size(), "/proc/self/task/%d/%s", thread_id, name);
  const int file = ::open(memory.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  const ssize_t n = ::read(file, memory.data(), memory.size());
  ::close(file);
  return {memory.data(), n > 0 ? static_cast<size_t>(n) : 0};
}

// The number behind the n-th space.
std::optional<int64_t> number_after(std::string_view text, int spaces) {
  for (; spaces > 0; --spaces) {
    const size_t at = text.find(' ');
    if (at == std::string_view::npos) return std::nullopt;
    text.remove_prefix(at + 1);
  }
  int64_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<int64_t> run_delay_ns(int thread_id) {
  // "<time on a processor> <time ready without one> <slices>", nanoseconds.
  std::array<char, 128> memory;
  return number_after(read_task_file(thread_id, "schedstat", memory), 1);
}

bool move_away(int thread_id) {
  // "ID (NAME) STATE ...": the processor is the 37th number behind the name, which may hold anything.
  std::array<char, 1024> memory;
  std::string_view text = read_task_file(thread_id, "stat", memory);
  text.remove_prefix(std::min(text.size(), text.rfind(')') + 1));
  const int here = sched_getcpu();
  cpu_set_t all;
  if (here < 0 || number_after(text, 37) != here || sched_getaffinity(thread_id, sizeof(all), &all) != 0) return false;
  cpu_set_t others = all;
  CPU_CLR(static_cast<size_t>(here), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(thread_id, sizeof(others), &others) != 0) return false;
  sched_setaffinity(thread_id, sizeof(all), &all);
  return true;
}

void Crowding::section_ended(int64_t now_ns, int64_t lost_ns, System& system) {
  if (resting_ > 0) end_rests(now_ns);
  lost_ns_ += lost_ns;
  const int64_t window = now_ns - window_begin_ns_;
  if (window < kWindow) return;
  if (window > kLongestWindow) {
    begin_window(now_ns, false, system);
    return;
  }
  const std::optional<int64_t> own = system.delay_ns(0);
  if (!own) return begin_window(now_ns, false, system);  // asked again in the next window
  const bool lost = lost_ns_ + *own - threads_[0].delay_ns > window / kLossShare;
  if (lost && suspicious_) {
    const int thread = most_delayed(window, system);
    const bool moved = thread > 0 && system.separate(thread);
    if (thread > 0 && !moved) rest(thread, now_ns);
    begin_window(now_ns, moved, system);
  } else {
    begin_window(now_ns, lost, system);
  }
}

void Crowding::end_rests(int64_t now_ns) {
  for (Thread& t : threads_) {
    if (t.rest_until_ns == 0 || t.rest_until_ns > now_ns) continue;
    t.rest_until_ns = 0;
    --resting_;
    rest_end_ns_ = now_ns;
    suspicious_ = false;
    window_begin_ns_ = 0;  // the next section begins a window
  }
}

// `all`: of every thread, so that its end can tell who is crowded.
void Crowding::begin_window(int64_t now_ns, bool all, System& system) {
  window_begin_ns_ = now_ns;
  lost_ns_ = 0;
  suspicious_ = all;
  for (size_t i = 0; i < (all ? threads_.size() : 1); ++i) {
    threads_[i].delay_ns = system.delay_ns(static_cast<int>(i)).value_or(0);
  }
}

// The worker to rest; when the driving thread is the crowded one any worker will do: its processor becomes free. 0:
// nobody.
int Crowding::most_delayed(int64_t window_ns, System& system) const {
  const int64_t least = window_ns / kDelayShare;
  const auto in_window = [&](size_t i) {
    return system.delay_ns(static_cast<int>(i)).value_or(0) - threads_[i].delay_ns;
  };
  int worst = 0, last = 0;
  int64_t most = least;
  for (size_t i = 1; i < threads_.size(); ++i) {
    if (threads_[i].rest_until_ns != 0) continue;
    last = static_cast<int>(i);
    if (const int64_t d = in_window(i); d > most) {
      most = d;
      worst = last;
    }
  }
  return worst > 0 ? worst : in_window(0) > least ? last : 0;
}

// Crowded again right after a rest: twice as long.
void Crowding::rest(int thread, int64_t now_ns) {
  const bool again = rest_ns_ > 0 && now_ns - rest_end_ns_ < rest_ns_;
  rest_ns_ = again ? std::min(2 * rest_ns_, kLongestRest) : kFirstRest;
  threads_[static_cast<size_t>(thread)].rest_until_ns = now_ns + rest_ns_;
  ++resting_;
}

}  // namespace tessera
