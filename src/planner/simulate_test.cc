#include "planner/simulate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

namespace tessera {
namespace {

StepTimes step_times(int64_t max_batch = 64, int64_t chunk = 512) {
  return StepTimes(*find_shipped_model("llama-3-8b"), *find_hardware("h100"), {}, {}, {}, max_batch, chunk);
}

TEST(Workload, PoissonHasItsRateAndIsReproducible) {
  WorkloadSpec spec{50, 20000, *parse_length_distribution("lognormal:300,0.8"),
                    *parse_length_distribution("uniform:10-20"), 7};
  const auto a = poisson_workload(spec), b = poisson_workload(spec);
  EXPECT_NEAR(20000 / a.back().arrival, 50, 2);
  EXPECT_EQ(a[777].prompt_tokens, b[777].prompt_tokens);
  double sum = 0;
  for (const RequestSpec& r : a) {
    sum += r.output_tokens;
    EXPECT_GE(r.output_tokens, 10);
    EXPECT_LE(r.output_tokens, 20);
  }
  EXPECT_NEAR(sum / 20000, 15, 0.2);
}

TEST(Workload, ParsersNameWhatIsWrong) {
  for (const char* bad : {"", "x", "uniform:9-3", "exp:0", "lognormal:3", "128x", "uniform:1", "exp:1e99"})
    EXPECT_FALSE(parse_length_distribution(bad).ok()) << bad;
  const auto trace = parse_trace("seconds,prompt,output\n2,10,5\n# note\n1 20 6\n", "t.csv");
  ASSERT_TRUE(trace.ok()) << trace.status().message();
  EXPECT_EQ((*trace)[0].prompt_tokens, 20);
  EXPECT_EQ(parse_trace("1,2,3\n1,x,3\n", "t.csv").status().message(),
            "t.csv line 2: expected 'seconds,prompt,output', found '1,x,3'");
}

TEST(Simulate, OneRequestAloneTakesPrefillPlusSteps) {
  const StepTimes times = step_times();
  const std::vector<RequestSpec> one = {{5, 300, 11}};
  const SimulationResult r = simulate(times, {}, one, {});
  double expected = times.seconds(0, 0, 300, 0);
  EXPECT_NEAR(r.ttft.p50, expected, 1e-6);
  for (int i = 0; i < 10; ++i) expected += times.seconds(1, 300 + i, 0, 0);
  EXPECT_NEAR(r.request.p50, expected, 1e-6);
  EXPECT_NEAR(r.tpot.p50, (expected - times.seconds(0, 0, 300, 0)) / 10, 1e-6);
  EXPECT_EQ(r.steps, 11);
}

TEST(Simulate, TokensAreConserved) {
  const StepTimes times = step_times();
  const auto requests =
      poisson_workload({20, 2000, *parse_length_distribution("exp:400"), *parse_length_distribution("exp:80"), 3});
  double tokens = 0;
  for (const RequestSpec& r : requests) tokens += r.output_tokens;
  FleetSpec fleet;
  fleet.replicas = 3;
  const SimulationResult r = simulate(times, fleet, requests, {});
  EXPECT_NEAR(r.output_tokens_per_second * r.seconds, tokens, 1e-3 * tokens);
  EXPECT_GT(r.busy, 0);
  EXPECT_LE(r.busy, 1);
  fleet.replicas = 2;
  fleet.prefill_replicas = 1;
  fleet.handover_seconds_per_token = 1e-6;
  const SimulationResult split = simulate(times, fleet, requests, {});
  EXPECT_NEAR(split.output_tokens_per_second * split.seconds, tokens, 1e-3 * tokens);
}

// One server, requests of one prompt token and one output token: the M/D/1 queue, whose mean wait is known.
TEST(Simulate, AgreesWithTheQueueThatHasAFormula) {
  const StepTimes times = step_times(1, 1);
  const double service = times.seconds(0, 0, 1, 0);
  for (const double load : {0.3, 0.6, 0.8}) {
    WorkloadSpec spec{load / service, 200000, {}, {}, 11};
    FleetSpec fleet;
    fleet.max_batch = 1;
    fleet.chunk_tokens = 1;
    const SimulationResult r = simulate(times, fleet, poisson_workload(spec), {});
    const double wait = load * service / (2 * (1 - load));
    EXPECT_NEAR(r.ttft.mean / (service + wait), 1, 0.03) << load;
  }
}

TEST(Simulate, LongerThanTheCacheIsRefusedAndTheRestIsServed) {
  FleetSpec fleet;
  fleet.kv_tokens = 1000;
  const std::vector<RequestSpec> requests = {{0, 2000, 10}, {0, 500, 10}, {0, 600, 10}};
  const SimulationResult r = simulate(step_times(), fleet, requests, {});
  EXPECT_EQ(r.refused, 1);
  EXPECT_GT(r.request.max, r.request.p50 * 0.99);
}

TEST(Simulate, SmallestFleetMeetsTheTargetAndOneLessDoesNot) {
  const StepTimes times = step_times();
  const auto requests = poisson_workload(
      {60, 6000, *parse_length_distribution("lognormal:500,0.7"), *parse_length_distribution("exp:150"), 5});
  const ServiceTarget target{0.3, 0.02, 0.95};
  const FleetAnswer answer = smallest_fleet(times, {}, requests, target);
  ASSERT_GT(answer.replicas, 1);
  EXPECT_GE(answer.result.met, 0.95);
  FleetSpec less;
  less.replicas = answer.replicas - 1;
  EXPECT_LT(simulate(times, less, requests, target).met, 0.95);
}

TEST(Simulate, AThousandReplicas) {
  const StepTimes times = step_times();
  const auto requests = poisson_workload(
      {8000, 50000, *parse_length_distribution("lognormal:300,0.8"), *parse_length_distribution("exp:150"), 5});
  FleetSpec fleet;
  fleet.replicas = 1000;
  const auto start = std::chrono::steady_clock::now();
  const SimulationResult r = simulate(times, fleet, requests, {1, 0.05, 0.95});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_GT(r.met, 0.5);
}

}  // namespace
}  // namespace tessera
