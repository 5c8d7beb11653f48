#include "base/crowding.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace tessera {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kWindow = 10 * kMillisecond;  // a few slices of the scheduler
constexpr int64_t kLongestWindow = 10 * kWindow;  // a pool that was idle in between has nothing to tell
constexpr int64_t kLossShare = 6;    // a sixth of a window lost: somebody has to rest
constexpr int64_t kDelayShare = 10;  // a tenth of it without a processor: this thread is crowded
constexpr int64_t kFirstRest = 100 * kMillisecond, kLongestRest = 800 * kMillisecond;

}  // namespace

std::optional<int64_t> run_delay_ns(int thread_id) {
  // "<time on a processor> <time ready without one> <slices>", nanoseconds.
  char text[96];
  std::snprintf(text, sizeof(text), "/proc/self/task/%d/schedstat", thread_id);
  const int file = ::open(text, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  const ssize_t n = ::read(file, text, sizeof(text));
  ::close(file);
  if (n <= 0) return std::nullopt;
  const char* end = text + n;
  const char* space = std::find(static_cast<const char*>(text), end, ' ');
  int64_t delay = 0;
  if (space == end || std::from_chars(space + 1, end, delay).ec != std::errc()) return std::nullopt;
  return delay;
}

void Crowding::section_ended(int64_t now_ns, int64_t waited_ns, FunctionRef<std::optional<int64_t>(int)> delay) {
  if (resting_ > 0) end_rests(now_ns);
  waited_ns_ += waited_ns;
  const int64_t window = now_ns - window_begin_ns_;
  if (window < kWindow) return;
  if (window > kLongestWindow) {
    begin_window(now_ns, false, delay);
    return;
  }
  const std::optional<int64_t> own = delay(0);
  if (!own) return;
  const bool lost = waited_ns_ + *own - threads_[0].delay_ns > window / kLossShare;
  if (lost && suspicious_) {
    if (const int thread = most_delayed(window, delay); thread > 0) rest(thread, now_ns);
    begin_window(now_ns, false, delay);
  } else {
    begin_window(now_ns, lost, delay);
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
void Crowding::begin_window(int64_t now_ns, bool all, FunctionRef<std::optional<int64_t>(int)> delay) {
  window_begin_ns_ = now_ns;
  waited_ns_ = 0;
  suspicious_ = all;
  for (size_t i = 0; i < (all ? threads_.size() : 1); ++i) {
    threads_[i].delay_ns = delay(static_cast<int>(i)).value_or(0);
  }
}

// The worker to rest; when the driving thread is the crowded one any worker will do: its processor becomes free. 0: nobody.
int Crowding::most_delayed(int64_t window_ns, FunctionRef<std::optional<int64_t>(int)> delay) const {
  const int64_t least = window_ns / kDelayShare;
  const auto in_window = [&](size_t i) { return delay(static_cast<int>(i)).value_or(0) - threads_[i].delay_ns; };
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
