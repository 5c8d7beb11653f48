#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>
#include <vector>

#include "base/sanitizers.h"

namespace tessera {
namespace {

TEST(ThreadPool, CoversEachIndexOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t n : {0, 1, 7, 1000}) {
      std::vector<std::atomic<int>> hits(n);
      pool.parallel_for(n, 3, [&](int64_t begin, int64_t end, int thread) {
        EXPECT_LT(thread, threads);
        for (int64_t i = begin; i < end; ++i) ++hits[i];
      });
      for (auto& h : hits) EXPECT_EQ(h, 1);
    }
  }
}

TEST(ThreadPool, ManyShortSectionsAndASleepBetween) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 20000; ++i) pool.run([&](int thread) { sum += thread + 1; });
  EXPECT_EQ(sum, 20000 * 6);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // workers are asleep now
  pool.run([&](int) { ++sum; });
  EXPECT_EQ(sum, 20000 * 6 + 3);
}

TEST(ThreadPool, ManyShortLoops) {
  // More threads than processors: workers that come late find their offer withdrawn.
  ThreadPool pool(4);
  std::vector<int> hits(64);
  for (int i = 0; i < 5000; ++i) {
    pool.parallel_for(64, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t k = begin; k < end; ++k) ++hits[static_cast<size_t>(k)];
    });
  }
  for (int h : hits) EXPECT_EQ(h, 5000);
}

TEST(ThreadPool, OneThreadTakesFourChunksAtMost) {
  ThreadPool pool(1);
  int64_t next = 0;
  pool.parallel_for(1000, 3, [&](int64_t begin, int64_t end, int) {
    EXPECT_EQ(begin, next);
    EXPECT_LE(end - begin, 12);
    next = end;
  });
  EXPECT_EQ(next, 1000);
}

// The system gives fewer threads than asked for: those that are there do all the work, and Crowding counts no others.
TEST(ThreadPool, FewerThreadsThanAskedFor) {
  if (kSanitized) GTEST_SKIP() << "sanitizers need more addresses than the limit leaves";
  // In a process of its own: a limit of addresses that leaves room for some stacks.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{40} << 20);
    const rlimit limit{bytes, bytes};
    if (!statm || setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
    constexpr int kAsked = 64;  // stacks of 8 MiB, as is usual
    ThreadPool pool(kAsked);
    if (pool.threads() >= kAsked) _exit(4);
    std::vector<std::atomic<int>> hits(100);
    for (int i = 0; i < 2000; ++i) {
      pool.parallel_for(100, 1, [&](int64_t begin, int64_t end, int thread) {
        if (thread >= pool.threads()) _exit(5);
        for (int64_t k = begin; k < end; ++k) ++hits[static_cast<size_t>(k)];
      });
    }
    for (auto& h : hits) {
      if (h != 2000) _exit(6);
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 4) GTEST_SKIP() << "stacks are smaller here";
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ThreadPool, DefaultCountIsPositive) { EXPECT_GE(default_thread_count(), 1); }

}  // namespace
}  // namespace tessera
