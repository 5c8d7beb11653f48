// Engine: a loaded model with its state, its threads and the requests it is working on. step() runs one ragged batch:
// one token for every sequence that is decoding and a chunk of the prompts that are not done, sampled and reported. One
// thread drives it; other threads talk to that one.
#ifndef TESSERA_RUNTIME_ENGINE_H_
#define TESSERA_RUNTIME_ENGINE_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/transformer.h"
#include "runtime/sampler.h"
#include "runtime/state_store.h"
#include "tokenizer/tokenizer.h"

namespace tessera {

struct EngineOptions {
  int threads = 0;              // 0: default_thread_count()
  int64_t context_tokens = 0;   // of one sequence; 0: what the model was trained with (at most 4096 unless asked for)
  int64_t max_sequences = 1;    // state is reserved for this many full sequences
  int64_t batch_tokens = 512;   // most rows of one forward pass (prefill chunk)
  DType k_dtype = DType::kBF16;
  DType v_dtype = DType::kBF16;
};

enum class FinishReason { kStop, kLength, kContextFull, kCancelled, kError };
std::string_view to_string(FinishReason reason);

using RequestId = int64_t;

struct Request {
  std::vector<int32_t> prompt;            // appended to the sequence; not empty
  std::optional<SequenceId> sequence;     // continue this kept sequence; none: a new one
  std::vector<int32_t> history;           // what that sequence holds, for the penalties; may be empty
  bool keep_sequence = false;             // at the end the sequence stays, for a later request or fork
  SamplerSettings sampling;
  int64_t max_tokens = -1;                // -1: until end of generation or context
  bool ignore_eos = false;
  std::vector<int32_t> stop_tokens;       // besides the tokenizer's end-of-generation tokens
};

// One sampled token, or the end of a request, or both.
struct TokenEvent {
  RequestId request = 0;
  std::optional<SampledToken> sampled;    // none on kCancelled, kError, kContextFull; the end token itself is reported
  std::optional<FinishReason> finish;
  Status error;                           // with kError
  SequenceId sequence = 0;                // alive after the end only with keep_sequence
};

struct RequestTimings {
  int64_t prompt_tokens = 0, generated_tokens = 0;
  double prompt_seconds = 0;     // submit to first sampled token
  double generate_seconds = 0;   // first to last sampled token
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(Checkpoint checkpoint, const EngineOptions& options,
                                                LoadProgress progress);
  ~Engine();

  const ModelSpec& spec() const;
  const Transformer& model() const;
  const Tokenizer& tokenizer() const;      // CHECK has_tokenizer()
  bool has_tokenizer() const;              // a file may carry none; then only token ids work
  const Metadata& metadata() const;        // of the checkpoint, for templates and inspect
  const EngineOptions& options() const;    // with defaults filled in
  StateStore& states();
  ThreadPool& pool();

  // Validates (ranges, prompt length against the context, token ids against the vocabulary) and queues.
  Result<RequestId> submit(Request request);
  void cancel(RequestId id);
  bool idle() const;  // nothing queued or running
  // One forward pass and its consequences. Does nothing when idle. A request that fails ends with kError, alone.
  std::vector<TokenEvent> step();
  RequestTimings timings(RequestId id) const;  // of a running or just finished request (the last 1024 are kept)

  // Lower level, for evaluation, benches and tests: appends tokens to sequences in one forward pass and hands out logits.
  struct Append {
    SequenceId sequence;
    std::span<const int32_t> tokens;
    bool all_logits = false;  // of every token rather than of the last
  };
  // Splits nothing: the sum of tokens may be at most batch_tokens. use(i, t, logits): item i, its t-th token; logits may be
  // clobbered. kResourceExhausted when the state is full.
  Status append(std::span<const Append> items, FunctionRef<void(int64_t item, int64_t token, std::span<float> logits)> use);

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera

#endif  // TESSERA_RUNTIME_ENGINE_H_
