// Numbers do not depend on company (docs/adr/0002): the same tokens give the same logits, bit for bit, with any number of threads,
// in any chunks, alone or beside others, after fork and rollback. Also the speed path: every kernel layer that this
// processor has is exercised through TESSERA_KERNELS by running this program again (CMakeLists.txt).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "compress/retyped_weights.h"
#include "support/engine_fixture.h"

namespace tessera {
namespace {

using ::tessera::testing::all_logits;

struct Numbers {
  DType cache;
  WeightChoice weights = WeightChoice::kStored;
};

class SameNumbers : public ::testing::TestWithParam<Numbers> {
 protected:
  static std::unique_ptr<Engine> engine(int threads, int64_t sequences = 1) {
    EngineOptions options;
    options.threads = threads;
    options.max_sequences = sequences;
    options.context_tokens = 256;
    options.k_dtype = options.v_dtype = GetParam().cache;
    auto checkpoint = open_checkpoint(testing::shipped_model());
    TESSERA_CHECK(checkpoint.ok(), "{}", checkpoint.status().message());
    auto weights = choose_weights(std::move(checkpoint->weights), GetParam().weights);
    TESSERA_CHECK(weights.ok(), "{}", weights.status().message());
    checkpoint->weights = *std::move(weights);
    return testing::open_engine(*std::move(checkpoint), options);
  }

  // 150 tokens, more than two pages, seeded by the index.
  static std::vector<int32_t> tokens(const Engine& engine, int index, int64_t count = 150) {
    std::vector<int32_t> ids;
    uint64_t state = 77 + static_cast<uint64_t>(index);
    for (int64_t i = 0; i < count; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      ids.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(engine.spec().vocab)));
    }
    return ids;
  }
};

TEST_P(SameNumbers, AnyNumberOfThreads) {
  const auto one = engine(1);
  const auto ids = tokens(*one, 0);
  const auto expected = all_logits(*one, ids, 150);
  EXPECT_EQ(all_logits(*engine(2), ids, 150), expected);
  EXPECT_EQ(all_logits(*engine(3), ids, 150), expected);
}

TEST_P(SameNumbers, OneChunkOrTokenByToken) {
  const auto e = engine(2);
  const auto ids = tokens(*e, 1);
  const auto expected = all_logits(*e, ids, 150);
  for (int64_t chunk : {1, 2, 7, 64, 100}) EXPECT_EQ(all_logits(*e, ids, chunk), expected) << "chunk " << chunk;
}

TEST_P(SameNumbers, AloneOrInABatchOfEight) {
  const auto e = engine(2, 8);
  std::vector<SequenceId> sequences;
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::vector<std::vector<float>>> expected;
  for (int s = 0; s < 8; ++s) {
    ids.push_back(tokens(*e, s, 100 + 6 * s));
    expected.push_back(all_logits(*e, ids.back(), 64));
  }
  // All eight together, each at its own position and with its own number of tokens per pass.
  std::vector<size_t> done(8, 0);
  for (int s = 0; s < 8; ++s) sequences.push_back(e->states().create_sequence());
  for (int pass = 0; std::ranges::any_of(std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}, [&](int s) { return done[s] < ids[s].size(); });
       ++pass) {
    std::vector<Engine::Append> items;
    for (int s = 0; s < 8; ++s) {
      const size_t n = std::min<size_t>(pass % 3 == 0 ? 1 : static_cast<size_t>(1 + (s * 5 + pass) % 20), ids[s].size() - done[s]);
      items.push_back({sequences[s], std::span(ids[s]).subspan(done[s], n), true});
    }
    const Status status = e->append(items, [&](int64_t s, int64_t t, std::span<float> logits) {
      const auto& want = expected[s][done[s] + static_cast<size_t>(t)];
      EXPECT_TRUE(std::ranges::equal(logits, want)) << "sequence " << s << " token " << done[s] + static_cast<size_t>(t);
    });
    ASSERT_TRUE(status.ok()) << status.message();
    for (int s = 0; s < 8; ++s) done[s] += items[s].tokens.size();
  }
}

TEST_P(SameNumbers, AfterForkAndRollback) {
  const auto e = engine(2, 3);
  const auto ids = tokens(*e, 3);
  const auto other = tokens(*e, 4);
  const auto expected = all_logits(*e, ids, 150);
  StateStore& states = e->states();
  const auto feed = [&](SequenceId id, std::span<const int32_t> part) {
    std::vector<std::vector<float>> rows;
    const Engine::Append item{id, part, true};
    const Status status = e->append({&item, 1}, [&](int64_t, int64_t, std::span<float> l) { rows.emplace_back(l.begin(), l.end()); });
    EXPECT_TRUE(status.ok()) << status.message();
    return rows;
  };
  const std::vector<std::vector<float>> want(expected.begin() + 90, expected.end());

  const SequenceId a = states.create_sequence();
  feed(a, std::span(ids).first(90));
  const SequenceId b = states.fork(a);
  feed(b, std::span(other).first(50));  // writes into b's copy of the shared page
  EXPECT_EQ(feed(a, std::span(ids).subspan(90)), want);
  states.truncate(b, 90);
  EXPECT_EQ(feed(b, std::span(ids).subspan(90)), want);
  states.truncate(a, 30);
  feed(a, std::span(ids).subspan(30, 60));
  EXPECT_EQ(feed(a, std::span(ids).subspan(90)), want);
}

TEST_P(SameNumbers, RequestsInCompany) {
  const auto e = engine(2, 4);
  std::vector<std::vector<int32_t>> expected;
  for (int s = 0; s < 6; ++s) expected.push_back(testing::greedy(*e, tokens(*e, s, 10 + s), 20));
  std::vector<RequestId> ids;
  for (int s = 0; s < 6; ++s) {  // six requests, four places
    Request request;
    request.prompt = tokens(*e, s, 10 + s);
    request.max_tokens = 20;
    request.sampling.temperature = 0;
    ids.push_back(*e->submit(std::move(request)));
  }
  std::vector<std::vector<int32_t>> found(6);
  while (!e->idle()) {
    for (const TokenEvent& event : e->step()) {
      if (event.sampled) found[std::ranges::find(ids, event.request) - ids.begin()].push_back(event.sampled->token);
    }
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(e->states().free_pages(), e->states().max_pages());
}

INSTANTIATE_TEST_SUITE_P(Types, SameNumbers,
                         ::testing::Values(Numbers{DType::kF32}, Numbers{DType::kF16}, Numbers{DType::kBF16},
                                           Numbers{DType::kQ8_0}, Numbers{DType::kF16, WeightChoice::kW8}),
                         [](const auto& test) {
                           return std::string(to_string(test.param.cache)) +
                                  (test.param.weights == WeightChoice::kW8 ? "_w8_weights" : "");
                         });

TEST(Engine, RefusesBadRequests) {
  EngineOptions options;
  options.context_tokens = 64;
  const auto e = testing::open_engine(testing::shipped_model(), options);
  Request request;
  EXPECT_EQ(e->submit(request).status().message(), "prompt: expected at least one token, found none");
  request.prompt.assign(65, 1);
  EXPECT_FALSE(e->submit(request).ok());
  request.prompt = {-1};
  EXPECT_FALSE(e->submit(request).ok());
  request.prompt = {1};
  request.sampling.top_p = 2;
  EXPECT_FALSE(e->submit(request).ok());
  EXPECT_TRUE(e->idle());
}

TEST(Engine, EndsWhenTheContextIsFull) {
  EngineOptions options;
  options.context_tokens = 64;
  const auto e = testing::open_engine(testing::shipped_model(), options);
  Request request;
  request.prompt.assign(60, 5);
  request.ignore_eos = true;
  ASSERT_TRUE(e->submit(request).ok());
  std::vector<TokenEvent> events;
  while (!e->idle()) {
    for (auto& event : e->step()) events.push_back(event);
  }
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().finish, FinishReason::kContextFull);
  EXPECT_EQ(events.size(), 5u);  // after positions 59 ... 63
}

TEST(Engine, CancelsAndKeeps) {
  EngineOptions options;
  options.context_tokens = 128;
  const auto e = testing::open_engine(testing::shipped_model(), options);
  Request request;
  request.prompt.assign(10, 5);
  request.ignore_eos = true;
  request.keep_sequence = true;
  const RequestId id = *e->submit(request);
  const auto first = e->step();
  ASSERT_EQ(first.size(), 1u);
  e->cancel(id);
  const auto second = e->step();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].finish, FinishReason::kCancelled);
  EXPECT_TRUE(e->idle());
  EXPECT_EQ(e->states().length(second[0].sequence), 10);
  e->states().free_sequence(second[0].sequence);
  EXPECT_EQ(e->states().free_pages(), e->states().max_pages());
}

}  // namespace
}  // namespace tessera
