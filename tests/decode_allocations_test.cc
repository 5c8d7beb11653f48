// After some steps of warm-up a decode step allocates nothing: forward pass, sampling, penalties, all threads. The
// engine's step() returns its events in a vector; that one and its bookkeeping are bounded, not zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "runtime/sampler.h"
#include "support/engine_fixture.h"

namespace {

std::atomic<int64_t> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  bytes = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  if (void* memory = std::aligned_alloc(alignment, bytes)) return memory;
  std::abort();
}

}  // namespace

// Not inlined: the compiler would see new meet free.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return counted(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace tessera {
namespace {

std::unique_ptr<Engine> small_engine(int64_t sequences) {
  EngineOptions options;
  options.threads = 2;
  options.max_sequences = sequences;
  options.context_tokens = 512;
  return testing::open_engine(testing::shipped_model(), options);
}

SamplerSettings sampling() {
  SamplerSettings s;
  s.repeat_penalty = 1.1f;
  s.seed = 1;
  return s;
}

TEST(DecodeAllocations, NoneInForwardPassAndSampling) {
  const auto engine = small_engine(4);
  constexpr size_t kSequences = 4;
  std::vector<SequenceId> sequences;
  std::vector<int32_t> tokens(kSequences, 1);
  std::vector<Sampler> samplers(kSequences, Sampler(sampling()));
  std::vector<Engine::Append> items;
  for (size_t i = 0; i < kSequences; ++i) {
    sequences.push_back(engine->states().create_sequence());
    items.push_back({sequences[i], {&tokens[i], 1}, true});
  }
  const auto step = [&] {
    return engine->append(items, [&](int64_t i, int64_t, std::span<float> logits) {
      const auto s = static_cast<size_t>(i);
      tokens[s] = samplers[s].sample(logits).token;
      samplers[s].accept(tokens[s]);
    });
  };
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(step().ok());
  // Far enough for a new page of the state (64 tokens).
  const int64_t before = allocations;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(step().ok());
  EXPECT_EQ(allocations - before, 0);
}

TEST(DecodeAllocations, FewInAStepOfTheEngine) {
  const auto engine = small_engine(1);
  Request request;
  request.prompt = {1, 2, 3};
  request.sampling = sampling();
  request.max_tokens = 400;
  request.ignore_eos = true;
  ASSERT_TRUE(engine->submit(request).ok());
  for (int i = 0; i < 200; ++i) engine->step();
  const int64_t before = allocations;
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(engine->step().empty());
  EXPECT_LE(allocations - before, 50 * 1);  // the vector of events
}

}  // namespace
}  // namespace tessera
