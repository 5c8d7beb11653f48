#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

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

TEST(ThreadPool, DefaultCountIsPositive) { EXPECT_GE(default_thread_count(), 1); }

}  // namespace
}  // namespace tessera
