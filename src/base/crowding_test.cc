#include "base/crowding.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

namespace tessera {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

// Sections of 1 ms; thread i stands without a processor for `share[i]` of the time, and thread 0 sleeps for `waited`.
class Machine : Crowding::System {
 public:
  explicit Machine(int threads) : share(static_cast<size_t>(threads)), crowding(threads) {}
  void run_for(int64_t milliseconds) {
    for (int64_t i = 0; i < milliseconds; ++i) {
      now_ += kMillisecond;
      crowding.section_ended(now_, static_cast<int64_t>(waited * kMillisecond), *this);
    }
  }
  std::optional<int64_t> delay_ns(int thread) override {
    ++questions;
    if (!tells) return std::nullopt;
    return static_cast<int64_t>(share[static_cast<size_t>(thread)] * static_cast<double>(now_));
  }
  bool separate(int thread) override {
    if (!on_one_processor) return false;
    on_one_processor = false;
    share[static_cast<size_t>(thread)] = waited = 0;
    return true;
  }
  std::vector<double> share;
  double waited = 0;
  bool tells = true, on_one_processor = false;
  int questions = 0;
  Crowding crowding;

 private:
  int64_t now_ = 1'000'000'000;
};

TEST(Crowding, QuietMachine) {
  Machine m(4);
  m.run_for(1000);
  EXPECT_EQ(m.crowding.resting(), 0);
  m.waited = 0.1;  // unequal shares: some waiting is normal
  m.run_for(1000);
  EXPECT_EQ(m.crowding.resting(), 0);
}

TEST(Crowding, TheCrowdedWorkerRestsAndComesBack) {
  Machine m(4);
  m.share[2] = m.waited = 0.5;
  m.run_for(50);
  EXPECT_TRUE(m.crowding.rests(2));
  EXPECT_EQ(m.crowding.resting(), 1);
  m.share[2] = m.waited = 0;
  m.run_for(150);
  EXPECT_EQ(m.crowding.resting(), 0);
}

TEST(Crowding, AWorkerOnTheDriversProcessorIsMoved) {
  Machine m(2);
  m.share[1] = m.waited = 0.5;
  m.on_one_processor = true;
  m.run_for(100);
  EXPECT_FALSE(m.on_one_processor);
  EXPECT_EQ(m.crowding.resting(), 0);
}

TEST(Crowding, ACrowdedDriverSendsOneWorkerToRest) {
  Machine m(2);
  m.share[0] = 0.5;
  m.run_for(50);
  EXPECT_TRUE(m.crowding.rests(1));
  EXPECT_FALSE(m.crowding.rests(0));
}

TEST(Crowding, WaitingWithoutACrowdedThreadIsNotCrowding) {
  Machine m(2);
  m.waited = 0.9;
  m.run_for(1000);
  EXPECT_EQ(m.crowding.resting(), 0);
}

TEST(Crowding, AStandingNeighbourCostsFewTrials) {
  Machine m(2);
  m.share[1] = m.waited = 0.5;
  int rested = 0;
  for (int i = 0; i < 2000; ++i) {
    m.run_for(1);
    rested += m.crowding.resting();
  }
  EXPECT_GT(rested, 1600);
}

TEST(Crowding, SystemsThatDoNotTell) {
  Machine m(2);
  m.tells = false;
  m.waited = 0.9;
  m.run_for(1000);
  EXPECT_EQ(m.crowding.resting(), 0);
  EXPECT_LE(m.questions, 200 + 2);  // twice a window of 10 ms, not in every section
  EXPECT_EQ(run_delay_ns(-1), std::nullopt);
  EXPECT_GE(run_delay_ns(gettid()).value_or(0), 0);
  EXPECT_FALSE(move_away(-1));
}

}  // namespace
}  // namespace tessera
