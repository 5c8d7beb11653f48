// Crowding: which threads of a pool sit out because somebody else uses their processor.
//
// A busy neighbour on one of two cores halves the time of the thread that runs there. Whoever waits for that thread at
// the end of a short section (a matmul of a decode step takes 0.1 ms, a scheduler's slice 3 ms) loses more than the
// thread contributes. So the pool measures, in windows of some milliseconds, how long its driving thread waited and how
// long the threads stood ready without a processor; where that is a sixth of the time one thread rests, some hundredths
// of a second at first, longer when it happens again. When the two stand on one processor (a scheduler with many others
// to serve may leave them there) the worker is moved instead. Results do not depend on who works (thread_pool.h).
#ifndef TESSERA_BASE_CROWDING_H_
#define TESSERA_BASE_CROWDING_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera {

// How long the thread stood ready to run and had no processor; nothing where the system does not tell.
std::optional<int64_t> run_delay_ns(int thread_id);
// If the thread stands on the caller's processor and may run elsewhere: moves it there.
bool move_away(int thread_id);

class Crowding {
 public:
  // What the policy asks and does, by number of the thread.
  struct System {
    virtual ~System() = default;
    virtual std::optional<int64_t> delay_ns(int thread) = 0;  // run_delay_ns
    virtual bool separate(int thread) = 0;  // if it stands on thread 0's processor: moves it away and says so
  };

  explicit Crowding(int threads) : threads_(static_cast<size_t>(threads)) {}

  bool rests(int thread) const { return threads_[static_cast<size_t>(thread)].rest_until_ns != 0; }
  int resting() const { return resting_; }

  // Once for each section, no later than in the next one; thread 0 calls. `lost_ns`: how long it slept until the others had
  // finished, or worked without one that came too late.
  void section_ended(int64_t now_ns, int64_t lost_ns, System& system);

 private:
  struct Thread {
    int64_t rest_until_ns = 0;  // 0: takes part
    int64_t delay_ns = 0;       // at the beginning of the window
  };
  void end_rests(int64_t now_ns);
  void begin_window(int64_t now_ns, bool all, System& system);
  int most_delayed(int64_t window_ns, System& system) const;
  void rest(int thread, int64_t now_ns);

  std::vector<Thread> threads_;
  int resting_ = 0;
  int64_t window_begin_ns_ = 0;
  int64_t lost_ns_ = 0;
  bool suspicious_ = false;  // the last window lost time, so this one also looks at the workers
  int64_t rest_ns_ = 0;      // length of the last rest
  int64_t rest_end_ns_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_BASE_CROWDING_H_
