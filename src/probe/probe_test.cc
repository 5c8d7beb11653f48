#include "probe/probe.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/cpu_features.h"

namespace tessera {
namespace {

ProbeOptions small_probe() {
  ProbeOptions options;
  options.repetitions = 2;
  options.buffer_bytes = 16u << 20;
  options.kernels = false;
  return options;
}

TEST(Probe, MeasuresEverythingAndSurvivesJson) {
  int stages = 0;
  auto report = probe_machine(small_probe(), [&](std::string_view) { ++stages; });
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(stages, 5);
  ASSERT_EQ(report->loads.size(), 5u);
  EXPECT_GT(report->loads[0].seconds, 0);
  for (const BandwidthResult& r : report->memory) {
    ASSERT_EQ(r.samples.size(), 2u);
    for (const StateSample& s : r.samples) EXPECT_GT(s.value, 0.01);
  }
  const MachineLimits limits = limits_of(*report, 1);
  EXPECT_GT(limits.read_gb_per_s, 0);
  EXPECT_GT(limits.f32_gops, 0);
  EXPECT_NE(probe_table(*report).find("memory read"), std::string::npos);

  const nlohmann::json written = nlohmann::json::parse(probe_to_json(*report).dump());
  auto back = probe_from_json(written);
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_DOUBLE_EQ(limits_of(*back, 1).read_gb_per_s, limits.read_gb_per_s);
  EXPECT_DOUBLE_EQ(limits_of(*back, 1).f32_gops, limits.f32_gops);
}

TEST(Probe, RefusesForeignJson) {
  using nlohmann::json;
  EXPECT_FALSE(probe_from_json(json::array()).ok());
  const auto missing = probe_from_json(json{{"time", "t"}, {"cpu", "c"}});
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.status().message().find("memory_read_gb_per_s"), std::string::npos);
  json bad = {{"time", "t"}, {"cpu", "c"}, {"multiply_add_gops", json::array()}, {"barrier_ns", json::array()}};
  bad["memory_read_gb_per_s"] = {{{"threads", 1e30}, {"huge_pages", true}, {"samples", {1}}, {"states", {"near"}}}};
  EXPECT_FALSE(probe_from_json(bad).ok());
}

// Every loop that this processor allows does the work it reports: twice the iterations, twice the operations.
TEST(Probe, LoopsCountTheirOperations) {
  for (const PeakLoop& loop : all_peak_loops()) {
    if ((loop.features & cpu_features()) != loop.features) continue;
    EXPECT_GT(loop.run(1), 0) << loop.instruction;
    EXPECT_DOUBLE_EQ(loop.run(20), 2 * loop.run(10)) << loop.instruction;
  }
}

TEST(KernelRates, MeasureEveryProbedType) {
  for (const DType dtype : probed_weight_types()) {
    const auto rate = measure_kernel_rate(dtype, {.weight_bytes = 1, .repetitions = 1, .threads = 1});
    ASSERT_TRUE(rate.ok()) << to_string(dtype) << ": " << rate.status().message();
    EXPECT_GT(rate->decode_gb_per_s.at(0).value, 0);
    EXPECT_GT(rate->prefill_gops.at(0), 0);
  }
}

TEST(Probe, ThreadCounts) {
  EXPECT_EQ(probe_thread_counts(1), (std::vector<int>{1}));
  EXPECT_EQ(probe_thread_counts(2), (std::vector<int>{1, 2}));
  EXPECT_EQ(probe_thread_counts(12), (std::vector<int>{1, 2, 4, 8, 12}));
}

TEST(CoreLatency, StatesCombine) {
  const CoreStateSample near{CoreState::kNear, 30}, far{CoreState::kFar, 170};
  EXPECT_EQ(core_state_of(30), CoreState::kNear);
  EXPECT_EQ(core_state_of(170), CoreState::kFar);
  EXPECT_EQ(combine(near, near), CoreState::kNear);
  EXPECT_EQ(combine(near, far), CoreState::kUnknown);
  EXPECT_EQ(sample_core_state({0}).state, CoreState::kUnknown);
}

}  // namespace
}  // namespace tessera
