#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "probe/probe.h"

namespace tessera {
namespace {

std::vector<StateSample> near(const std::vector<double>& values) {
  std::vector<StateSample> samples;
  for (const double v : values) samples.push_back({v, CoreState::kNear});
  return samples;
}

ProbeReport quiet_report() {
  ProbeReport report;
  report.memory.push_back({2, true, {{35, CoreState::kNear}, {36, CoreState::kNear}, {57, CoreState::kFar}, {56, CoreState::kFar}}});
  report.kernels.push_back({DType::kQ4_0, 2, near({33, 34, 33.5, 34, 35}), {600, 610, 605, 604, 602}, 4});
  report.loads = {{"memory bandwidth", 2, {0.05, 0}}, {"kernels", 5, {0.1, 0.02}}};
  return report;
}

// Near and far are two machines, not a disturbance.
TEST(Disturbance, NoneOnAQuietMachineThatChangesItsCoreState) {
  EXPECT_TRUE(disturbances_of(quiet_report()).empty());
  EXPECT_LT(worst_spread(quiet_report()), 0.1);
  EXPECT_EQ(probe_table(quiet_report()).find("warning"), std::string::npos);
}

TEST(Disturbance, NamesTheStageInWhichOthersRan) {
  ProbeReport report = quiet_report();
  report.loads[1].load.others = 1.4;
  const auto found = disturbances_of(report);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find("1.4 processors"), std::string::npos) << found[0];
  EXPECT_NE(found[0].find("kernels"), std::string::npos) << found[0];
  EXPECT_NE(probe_table(report).find("warning: other programs"), std::string::npos);
  const nlohmann::json file = probe_to_json(report);
  EXPECT_EQ(file.at("warnings").at(0), found[0]);
  EXPECT_EQ(file.at("loads").at(1).at("other_cpus"), 1.4);
}

TEST(Disturbance, SeesStolenTimeAndSpread) {
  ProbeReport report = quiet_report();
  report.loads[0].load.stolen = 0.5;
  report.kernels[0].decode_gb_per_s = near({10, 20, 30, 34, 35});
  const auto found = disturbances_of(report);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_NE(found[0].find("hypervisor"), std::string::npos);
  EXPECT_NE(found[1].find("q4_0"), std::string::npos);
  EXPECT_NEAR(worst_spread(report), 14.0 / 30, 1e-12);
}

TEST(Disturbance, OneStrayAmongFiveSamplesIsTrimmed) {
  ProbeReport report = quiet_report();
  report.kernels[0].prefill_gops = {100, 600, 610, 605, 604};
  EXPECT_TRUE(disturbances_of(report).empty());
}

TEST(CpuTimes, CountOwnAndOtherProcesses) {
  const CpuTimes before{100, 10, 5}, after{104, 12, 5.5};
  const CpuLoad load = load_between(before, after, 2);
  EXPECT_DOUBLE_EQ(load.others, 1);
  EXPECT_DOUBLE_EQ(load.stolen, 0.25);
  EXPECT_EQ(load_between(after, before, 2).others, 0);
  EXPECT_EQ(load_between(before, after, 0).others, 0);
}

}  // namespace
}  // namespace tessera
