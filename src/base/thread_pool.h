// ThreadPool: the worker threads of an engine. One forward pass issues thousands of short parallel sections
// (one per matmul), so a section starts and ends with an atomic word per worker; a waiting thread spins for some
// microseconds and then sleeps on a futex.
//
// A loop's chunks are shared out in contiguous ranges, one per thread, so that each thread streams through its own part
// of memory, and the same part in every step; with a slow core the fast one takes chunks from the end of the other's
// range. Nobody waits for a worker that has not begun, and a worker whose processor is taken by somebody else sits out
// for a while (crowding.h). Results must not depend on who does which chunk.
#ifndef TESSERA_BASE_THREAD_POOL_H_
#define TESSERA_BASE_THREAD_POOL_H_

#include <cstdint>
#include <memory>

#include "base/function_ref.h"

namespace tessera {

// Processors that this process may use: affinity mask, capped by the cgroup CPU quota (rounded down, at
// least 1). What `-t` defaults to.
int default_thread_count();

class ThreadPool {
 public:
  // threads <= 0: default_thread_count(). The caller of run() counts as thread 0.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // fn(thread) once on every thread; returns when all are done. Not reentrant: a section inside a section is a
  // bug and is checked.
  void run(FunctionRef<void(int thread)> fn);

  // fn(begin, end, thread) over [0, n), one to four chunks of `grain` at a time (the last may be shorter). Runs on the
  // calling thread alone when there is a single chunk.
  void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end, int thread)> fn);

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace tessera

#endif  // TESSERA_BASE_THREAD_POOL_H_
