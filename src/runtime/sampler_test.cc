#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <tuple>

namespace tessera {
namespace {

SamplerSettings plain() {
  SamplerSettings s;
  s.temperature = 1;
  s.top_k = 0;
  s.top_p = 1;
  s.min_p = 0;
  return s;
}

std::map<int32_t, int> draw(SamplerSettings settings, const std::vector<float>& logits, int n) {
  std::map<int32_t, int> counts;
  Sampler sampler(settings);
  for (int i = 0; i < n; ++i) {
    std::vector<float> copy = logits;
    ++counts[sampler.sample(copy).token];
  }
  return counts;
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  SamplerSettings s;
  s.temperature = 0;
  std::vector<float> logits = {1, 3, 3, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_EQ(Sampler(s).sample(logits).token, 1);
}

TEST(Sampler, DrawsTheSoftmax) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const auto counts = draw(plain(), logits, 20000);
  EXPECT_NEAR(counts.at(0) / 20000.0, 0.5, 0.02);
  EXPECT_NEAR(counts.at(1) / 20000.0, 0.3, 0.02);
  EXPECT_NEAR(counts.at(2) / 20000.0, 0.2, 0.02);
}

TEST(Sampler, CutsTheTail) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  auto s = plain();
  s.top_k = 2;
  EXPECT_EQ(draw(s, logits, 500).size(), 2u);
  s = plain();
  s.top_p = 0.75f;  // 0.5 is not enough, 0.8 is
  EXPECT_EQ(draw(s, logits, 500).size(), 2u);
  s = plain();
  s.min_p = 0.25f;  // of the best: 0.125
  EXPECT_EQ(draw(s, logits, 500).size(), 3u);
}

TEST(Sampler, TopKAgreesWithASort) {
  std::vector<float> logits(5000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 7919) % 5000) / 500;
  auto s = plain();
  s.top_k = 10;
  for (const auto& [token, count] : draw(s, logits, 2000)) EXPECT_GE(logits[token], 4990.0f / 500);
}

// Without top-k the selection grows until it holds what top-p or min-p keep.
TEST(Sampler, TopPAndMinPOfALargeVocabulary) {
  std::vector<float> logits(20000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 7919) % 20000) / 4000;  // 0 to 5, flat
  std::vector<float> sorted = logits;
  std::ranges::sort(sorted, std::greater());
  double total = 0, mass = 0;
  for (float l : sorted) total += std::exp(l);
  size_t kept = 0;
  while (mass < 0.5 * total) mass += std::exp(sorted[kept++]);
  auto s = plain();
  s.top_p = 0.5f;
  float least = 5;
  for (const auto& [token, count] : draw(s, logits, 3000)) least = std::min(least, logits[static_cast<size_t>(token)]);
  EXPECT_GE(least, sorted[kept] - 1e-3f);
  EXPECT_LT(least, sorted[kept] + 0.1f);
  s = plain();
  s.min_p = 0.1f;
  least = 5;
  for (const auto& [token, count] : draw(s, logits, 3000)) least = std::min(least, logits[static_cast<size_t>(token)]);
  EXPECT_GE(least, sorted[0] + std::log(0.1f) - 1e-3f);
  EXPECT_LT(least, sorted[0] + std::log(0.1f) + 0.1f);
}

// So flat that thousands of tokens stay: what is kept must be what a sort keeps, and be drawn as often as it weighs.
TEST(Sampler, NucleusOfAFlatDistribution) {
  std::vector<float> logits(20000);
  uint64_t state = 1;
  for (float& l : logits) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    l = static_cast<float>(state >> 60) / 16;  // 16 values: borders fall among equals
  }
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::ranges::stable_sort(order, std::greater(), [&](int32_t i) { return logits[static_cast<size_t>(i)]; });
  for (const auto& [top_k, top_p, min_p, temperature] : std::vector<std::tuple<int, float, float, float>>{
           {0, 0.9f, 0.0f, 1.0f},
           {0, 0.9f, 0.0f, 0.5f},  // the nucleus is that of temperature 1
           {0, 0.6f, 0.0f, 3.0f},
           {12000, 0.5f, 0.0f, 1.0f},
           {9000, 1.0f, 0.0f, 1.0f},
           {0, 0.95f, 0.6f, 1.0f},
           {20000, 1.0f, 0.5f, 1.0f}}) {
    const size_t limit = top_k > 0 ? static_cast<size_t>(top_k) : order.size();
    double all = 0, mass = 0;
    for (size_t i = 0; i < limit; ++i) all += std::exp(double(logits[static_cast<size_t>(order[i])]));
    std::map<int32_t, double> weight;  // of what is kept
    for (size_t i = 0; i < limit && (i == 0 || top_p == 1.0f || mass < top_p * all); ++i) {
      const double w = std::exp(double(logits[static_cast<size_t>(order[i])]));
      mass += w;
      if (w >= min_p * std::exp(double(logits[static_cast<size_t>(order[0])])) * (1 - 1e-6)) {
        weight[order[i]] = std::exp(double(logits[static_cast<size_t>(order[i])]) / temperature);
      }
    }
    ASSERT_GT(weight.size(), 4096u);
    auto s = plain();
    s.top_k = top_k;
    s.top_p = top_p;
    s.min_p = min_p;
    s.temperature = temperature;
    constexpr int draws = 3000;
    double drawn = 0, expected = 0, kept_mass = 0;  // logits
    for (const auto& [token, w] : weight) kept_mass += w, expected += w * logits[static_cast<size_t>(token)];
    int last = 0;
    for (const auto& [token, count] : draw(s, logits, draws)) {
      EXPECT_TRUE(weight.contains(token)) << token << " top_p " << top_p;
      drawn += count * logits[static_cast<size_t>(token)];
      last = std::max(last, token);
    }
    EXPECT_NEAR(drawn / draws, expected / kept_mass, 0.02);
    EXPECT_GT(last, 19000);
  }
}

TEST(Sampler, PenaltiesSeeTheLastTokensOnly) {
  SamplerSettings s;
  s.temperature = 0;
  s.presence_penalty = 10;
  s.penalty_last_n = 3;
  Sampler sampler(s);
  for (int32_t token = 0; token < 20; ++token) {
    std::vector<float> logits = {4, 3, 2, 1};
    // The last three of 0 1 2 3 0 1 2 3 ... are penalized: the one before them is best.
    if (token >= 4) EXPECT_EQ(sampler.sample(logits).token, token % 4);
    sampler.accept(token % 4);
  }
}

TEST(Sampler, SameSeedSameTokens) {
  std::vector<float> logits(100);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<float>(i));
  auto run = [&](uint64_t seed) {
    auto s = plain();
    s.seed = seed;
    Sampler sampler(s);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 20; ++i) {
      auto copy = logits;
      tokens.push_back(sampler.sample(copy).token);
    }
    return tokens;
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

TEST(Sampler, PenaltiesAndBias) {
  SamplerSettings s;
  s.temperature = 0;
  s.repeat_penalty = 2;
  Sampler sampler(s);
  sampler.accept(0);
  std::vector<float> logits = {3, 2, -1};
  EXPECT_EQ(sampler.sample(logits).token, 1);  // 3 / 2 < 2
  s = SamplerSettings();
  s.temperature = 0;
  s.frequency_penalty = 1;
  Sampler twice(s);
  twice.accept(0);
  twice.accept(0);
  logits = {3, 1.5f, -1};
  EXPECT_EQ(twice.sample(logits).token, 1);
  s = SamplerSettings();
  s.temperature = 0;
  s.logit_bias = {{2, 10.0f}};
  logits = {3, 2, -1};
  EXPECT_EQ(Sampler(s).sample(logits).token, 2);
}

TEST(Sampler, ReportsLogprobs) {
  auto s = plain();
  s.logprobs = 2;
  s.top_k = 1;
  std::vector<float> logits = {std::log(0.25f), std::log(0.75f)};
  const SampledToken sampled = Sampler(s).sample(logits);
  EXPECT_EQ(sampled.token, 1);
  EXPECT_NEAR(sampled.logprob, std::log(0.75), 1e-6);
  ASSERT_EQ(sampled.top.size(), 2u);
  EXPECT_EQ(sampled.top[1].token, 0);
  EXPECT_NEAR(sampled.top[1].logprob, std::log(0.25), 1e-6);
}

TEST(Sampler, RefusesBadSettings) {
  SamplerSettings s;
  EXPECT_TRUE(s.validate(100).ok());
  s.top_p = 1.5f;
  EXPECT_EQ(s.validate(100).message(), "top_p: expected 0 to 1, found 1.5");
  s = SamplerSettings();
  s.temperature = std::nanf("");
  EXPECT_FALSE(s.validate(100).ok());
  s = SamplerSettings();
  s.logit_bias = {{100, 1.0f}};
  EXPECT_FALSE(s.validate(100).ok());
}

}  // namespace
}  // namespace tessera
