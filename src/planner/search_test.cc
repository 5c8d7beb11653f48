#include "planner/search.h"

#include <gtest/gtest.h>

#include <chrono>

namespace tessera {
namespace {

HardwareSpec hardware(const char* name) { return *find_hardware(name); }
ModelShape model(const char* name) { return *find_shipped_model(name); }

LayoutChoice choice(const char* name, int64_t chips, const Pass& pass, const char* type) {
  const HardwareSpec tpu = hardware("tpu-v4");
  Partition resting;
  resting.mesh = candidate_meshes(tpu, chips).front();
  NumberTypes types;
  types.weight_type = type;
  return *best_layout(model(name), tpu, resting, pass, types);
}

void expect_layout(const LayoutChoice& c, FfnLayout ffn, AttentionLayout attention) {
  EXPECT_EQ(to_string(c.partition.ffn), to_string(ffn));
  EXPECT_EQ(to_string(c.partition.attention), to_string(attention));
}

TEST(Choice, Table2) {
  expect_layout(choice("palm-540b", 64, {1, 2048, 0}, "int8"), FfnLayout::kWs2d, AttentionLayout::kHeads);
  expect_layout(choice("palm-540b", 64, {64, 1, 2048}, "int8"), FfnLayout::kWs2d, AttentionLayout::kBatch);
  expect_layout(choice("palm-540b", 64, {512, 2048, 0}, "bf16"), FfnLayout::kWgXyz, AttentionLayout::kBatch);
  expect_layout(choice("palm-540b", 64, {512, 1, 2048}, "bf16"), FfnLayout::kWs2d, AttentionLayout::kBatch);
}

TEST(Choice, Table3) {
  expect_layout(choice("palm-62b", 16, {1, 2048, 0}, "int8"), FfnLayout::kWs2d, AttentionLayout::kHeads);
  expect_layout(choice("palm-62b", 16, {32, 1, 2048}, "int8"), FfnLayout::kWs2d, AttentionLayout::kBatch);
  expect_layout(choice("palm-62b", 32, {512, 2048, 0}, "bf16"), FfnLayout::kWgXyz, AttentionLayout::kBatch);
  expect_layout(choice("palm-62b", 8, {512, 1, 2048}, "bf16"), FfnLayout::kWs2d, AttentionLayout::kBatch);
}

TEST(Choice, PrefillSwitchesBetween131kAnd262kTokens) {
  EXPECT_EQ(choice("palm-540b", 64, {64, 2048, 0}, "bf16").partition.ffn, FfnLayout::kWs2d);
  EXPECT_EQ(choice("palm-540b", 64, {128, 2048, 0}, "bf16").partition.ffn, FfnLayout::kWgXyz);
}

TEST(Search, TwoHundredFiftySixChipsInSeconds) {
  PlanRequest r;
  r.model = model("palm-540b");
  r.hardware = hardware("tpu-v4");
  r.all_layouts = true;
  const auto start = std::chrono::steady_clock::now();
  const PlanResult result = search(r);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  ASSERT_TRUE(result.best);
  EXPECT_GT(result.pareto.size(), 3u);
  for (size_t i = 1; i < result.pareto.size(); ++i) {
    const Candidate &a = result.candidates[result.pareto[i - 1]], &b = result.candidates[result.pareto[i]];
    EXPECT_LT(a.request_seconds, b.request_seconds);
    EXPECT_GT(a.chip_seconds_per_token, b.chip_seconds_per_token);
  }
}

TEST(Search, LimitsAreKeptAndRefusalsExplained) {
  PlanRequest r;
  r.model = model("palm-540b");
  r.hardware = hardware("tpu-v4");
  r.max_step_seconds = 0.035;
  r.objective = Objective::kCost;
  const PlanResult result = search(r);
  ASSERT_TRUE(result.best);
  for (const Candidate& c : result.candidates) EXPECT_LE(c.decode.total, 0.035);
  r.chips = {1};
  const PlanResult none = search(r);
  EXPECT_FALSE(none.best);
  EXPECT_NE(none.recommendation.find("per chip"), std::string::npos) << none.recommendation;
}

TEST(Search, OneMachineWhenTheNetworkIsSlow) {
  PlanRequest r;
  r.model = model("llama-3.2-1b");
  r.hardware = hardware("ryzen-7950x");
  r.batches = {1};
  r.weight_types = {"int8"};
  r.max_chips = 8;
  r.objective = Objective::kLatency;
  r.hardware.network.link_bandwidth = 12e6;  // 100 Mb/s
  r.hardware.constants.hop_seconds = 300e-6;
  const PlanResult slow = search(r);
  ASSERT_TRUE(slow.best);
  EXPECT_EQ(slow.candidates[*slow.best].chips(), 1) << slow.recommendation;
  r.hardware.network.link_bandwidth = 12.5e9;
  r.hardware.constants.hop_seconds = 3e-6;
  r.model = model("llama-3-8b");
  const PlanResult fast = search(r);
  ASSERT_TRUE(fast.best);
  EXPECT_GT(fast.candidates[*fast.best].chips(), 1) << fast.recommendation;
}

TEST(Search, MoreMemoryThanOneMachineHasNeedsMoreMachines) {
  PlanRequest r;
  r.model = model("llama-3-70b");
  r.hardware = hardware("ryzen-7950x");
  r.batches = {1};
  r.weight_types = {"bf16"};
  r.max_chips = 8;
  r.objective = Objective::kLatency;
  const PlanResult result = search(r);
  ASSERT_TRUE(result.best);
  EXPECT_GE(result.candidates[*result.best].chips(), 3);
}

TEST(Pareto, KeepsOnlyWhatNothingBeats) {
  const std::vector<std::pair<double, double>> points = {{3, 1}, {1, 3}, {2, 2}, {2.5, 2.5}, {4, 1}};
  EXPECT_EQ(pareto_front(points), (std::vector<size_t>{1, 2, 0}));
}

TEST(MoE, FewTokensTouchFewExperts) {
  const ModelShape m = model("mixtral-8x7b");
  EXPECT_NEAR(total_params(m), 46.7e9, 0.1e9);
  const double one = touched_ff_fraction(m, 1);
  EXPECT_NEAR(one, 0.25, 0.001);
  EXPECT_GT(touched_ff_fraction(m, 64), 0.99);
  const HardwareSpec h = hardware("h100");
  Partition p;
  p.mesh = {1, 8, 1};
  p.ffn = FfnLayout::kWs1d;
  const PassCost split = predict_pass(m, h, p, {64, 1, 1024}, {});
  p.expert_parallel = true;
  const PassCost experts = predict_pass(m, h, p, {64, 1, 1024}, {});
  EXPECT_NE(split.wire_bytes, experts.wire_bytes);
}

TEST(Pipeline, DecodeIsNoFasterButMemoryIsDivided) {
  const ModelShape m = model("llama-2-70b");
  const HardwareSpec h = hardware("epyc-9654");
  Partition one, four;
  four.pipeline_stages = 4;
  const Pass step{1, 1, 1024};
  EXPECT_GE(predict_pass(m, h, four, step, {}).total, predict_pass(m, h, one, step, {}).total);
  EXPECT_NEAR(memory_per_chip(m, h, four, {}, {1, 2048, 2048}).weights * 4,
              memory_per_chip(m, h, one, {}, {1, 2048, 2048}).weights, 1);
  // Sixteen sequences keep the stages busy: throughput grows.
  const Pass many{64, 512, 0};
  EXPECT_LT(predict_pass(m, h, four, many, {}).total, 0.6 * predict_pass(m, h, one, many, {}).total);
}

}  // namespace
}  // namespace tessera
