#include "runtime/engine.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/math.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kDefaultContextTokens = 4096;
constexpr size_t kKeptTimings = 1024;

double seconds_between(Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double>(b - a).count(); }

// A request that has a sequence and is being worked on.
struct Running {
  RequestId id = 0;
  Request request;
  SequenceId sequence = 0;
  std::vector<int32_t> pending;  // tokens that are not in the state yet: the rest of the prompt, or the last sampled one
  size_t pending_begin = 0;
  Sampler sampler{SamplerSettings{}};
  int64_t generated = 0;
  bool cancelled = false;
  Clock::time_point submitted, first_token, last_token;

  int64_t pending_tokens() const { return static_cast<int64_t>(pending.size() - pending_begin); }
};

}  // namespace

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kContextFull: return "context_full";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: return "error";
  }
  return "unknown";
}

struct Engine::Impl {
  EngineOptions options;
  Metadata metadata;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Transformer> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<StateStore> states;
  Arena arena;

  std::deque<Running> queued;
  std::deque<Running> running;  // oldest first
  RequestId next_id = 1;
  std::unordered_map<RequestId, RequestTimings> timings;
  std::deque<RequestId> timings_order;

  // The batch being built; kept to reuse its memory.
  std::vector<int32_t> tokens, positions, logit_rows;
  std::vector<BatchSequence> sequences;
  std::vector<Running*> members;  // who the batch's tokens belong to
  std::vector<int64_t> taken;     // how many of them
  std::vector<std::pair<Running*, Status>> failed;
  std::vector<RequestId> ended;

  void clear_batch() {
    tokens.clear();
    positions.clear();
    logit_rows.clear();
    sequences.clear();
    members.clear();
    taken.clear();
    failed.clear();
    ended.clear();
  }

  int64_t room() const { return options.batch_tokens - static_cast<int64_t>(tokens.size()); }

  // Adds tokens of one sequence to the batch; the state is reserved. `logits`: of how many last tokens.
  Status add(SequenceId sequence, std::span<const int32_t> new_tokens, int64_t logits) {
    const auto n = static_cast<int64_t>(new_tokens.size());
    TESSERA_RETURN_IF_ERROR(states->reserve(sequence, n));
    const auto first = static_cast<int64_t>(tokens.size());
    const int64_t position = states->length(sequence);
    sequences.push_back({first, n, position, states->pages(sequence)});
    tokens.insert(tokens.end(), new_tokens.begin(), new_tokens.end());
    for (int64_t i = 0; i < n; ++i) positions.push_back(static_cast<int32_t>(position + i));
    for (int64_t i = n - logits; i < n; ++i) logit_rows.push_back(static_cast<int32_t>(first + i));
    return {};
  }

  // Runs the batch; logits [logit_rows, vocab] live in the arena until the next pass.
  Rows<float> forward() {
    arena.reset();
    OpContext ctx{*pool, arena};
    Rows<float> logits = ctx.scratch(static_cast<int64_t>(logit_rows.size()), model->spec().vocab);
    model->forward(ctx, {tokens, positions, sequences, logit_rows}, states->layers(), logits);
    return logits;
  }

  void admit() {
    while (!queued.empty() && static_cast<int64_t>(running.size()) < options.max_sequences) {
      Running r = std::move(queued.front());
      queued.pop_front();
      r.sequence = r.request.sequence ? *r.request.sequence : states->create_sequence();
      running.push_back(std::move(r));
    }
  }

  TokenEvent finish(Running& r, FinishReason reason, Status error = {}) {
    record_timings(r);
    if (!r.request.keep_sequence) states->free_sequence(r.sequence);
    TokenEvent event;
    event.request = r.id;
    event.finish = reason;
    event.error = std::move(error);
    event.sequence = r.sequence;
    return event;
  }

  void record_timings(const Running& r) {
    RequestTimings t;
    t.prompt_tokens = static_cast<int64_t>(r.request.prompt.size());
    t.generated_tokens = r.generated;
    if (r.first_token != Clock::time_point()) {
      t.prompt_seconds = seconds_between(r.submitted, r.first_token);
      t.generate_seconds = seconds_between(r.first_token, r.last_token);
    }
    if (timings.insert_or_assign(r.id, t).second) timings_order.push_back(r.id);
    while (timings_order.size() > kKeptTimings) {
      timings.erase(timings_order.front());
      timings_order.pop_front();
    }
  }

  bool is_stop(const Running& r, int32_t token) const {
    if (std::ranges::find(r.request.stop_tokens, token) != r.request.stop_tokens.end()) return true;
    return !r.request.ignore_eos && tokenizer != nullptr && tokenizer->is_end_of_generation(token);
  }

  // After a pass that gave logits for `r`: sample, decide whether it ends.
  TokenEvent advance(Running& r, std::span<float> logits) {
    if (r.request.max_tokens == 0) {
      r.first_token = r.last_token = Clock::now();
      return finish(r, FinishReason::kLength);
    }
    SampledToken sampled = r.sampler.sample(logits);
    const int32_t token = sampled.token;
    r.sampler.accept(token);
    r.last_token = Clock::now();
    if (r.generated++ == 0) r.first_token = r.last_token;
    r.pending.assign(1, token);
    r.pending_begin = 0;

    TokenEvent event;
    if (is_stop(r, token)) {
      event = finish(r, FinishReason::kStop);
    } else if (r.request.max_tokens >= 0 && r.generated >= r.request.max_tokens) {
      event = finish(r, FinishReason::kLength);
    } else if (states->length(r.sequence) >= options.context_tokens) {
      event = finish(r, FinishReason::kContextFull);
    } else {
      event.request = r.id;
      event.sequence = r.sequence;
      record_timings(r);
    }
    event.sampled = std::move(sampled);
    return event;
  }
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(Checkpoint checkpoint, const EngineOptions& options, LoadProgress progress) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  EngineOptions& o = impl->options;
  if (o.max_sequences < 1 || o.max_sequences > 1 << 16) {
    return invalid_argument("parallel sequences: expected 1 to 65536, found {}", o.max_sequences);
  }
  if (o.batch_tokens < 1 || o.batch_tokens > 1 << 20) {
    return invalid_argument("batch size: expected 1 to 1048576 tokens, found {}", o.batch_tokens);
  }
  TESSERA_ASSIGN_OR_RETURN(ModelSpec spec, model_spec(checkpoint.metadata, *checkpoint.weights));
  if (o.context_tokens < 0) return invalid_argument("context size: expected a number of tokens, found {}", o.context_tokens);
  if (o.context_tokens > std::numeric_limits<int32_t>::max() / o.max_sequences) {
    return invalid_argument("context size: expected at most {} tokens for {} sequences, found {}",
                            std::numeric_limits<int32_t>::max() / o.max_sequences, o.max_sequences, o.context_tokens);
  }
  if (o.context_tokens == 0) o.context_tokens = std::min(spec.context_tokens, kDefaultContextTokens);
  if (spec.position_embeddings && o.context_tokens > spec.context_tokens) {
    return invalid_argument("context size: this model has learned positions for {} tokens, found {}", spec.context_tokens,
                            o.context_tokens);
  }
  for (LayerSpec& layer : spec.layers) {
    layer.attention.k_dtype = o.k_dtype;
    layer.attention.v_dtype = o.v_dtype;
  }
  impl->pool = std::make_unique<ThreadPool>(o.threads);
  o.threads = impl->pool->threads();
  TESSERA_ASSIGN_OR_RETURN(const std::string vocabulary,
                           Metadata::value_or(checkpoint.metadata.text("tokenizer.ggml.model"), std::string("none")));
  if (vocabulary != "none") {
    TESSERA_ASSIGN_OR_RETURN(impl->tokenizer, create_tokenizer(checkpoint.metadata));
    if (impl->tokenizer->vocab_size() > spec.vocab) {
      return invalid_argument("tokenizer.ggml.tokens: expected at most {} tokens (rows of token_embd.weight), found {}",
                              spec.vocab, impl->tokenizer->vocab_size());
    }
  }
  TESSERA_ASSIGN_OR_RETURN(impl->model,
                           Transformer::load(std::move(spec), std::move(checkpoint.weights), *impl->pool, progress));
  const int64_t pages = o.max_sequences * ceil_div(o.context_tokens, kPageTokens);
  TESSERA_ASSIGN_OR_RETURN(impl->states, StateStore::create(impl->model->states(), pages));
  impl->metadata = std::move(checkpoint.metadata);
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

const ModelSpec& Engine::spec() const { return impl_->model->spec(); }
const Transformer& Engine::model() const { return *impl_->model; }
bool Engine::has_tokenizer() const { return impl_->tokenizer != nullptr; }
const Tokenizer& Engine::tokenizer() const {
  TESSERA_CHECK(impl_->tokenizer != nullptr, "the model has no tokenizer");
  return *impl_->tokenizer;
}
const Metadata& Engine::metadata() const { return impl_->metadata; }
const EngineOptions& Engine::options() const { return impl_->options; }
StateStore& Engine::states() { return *impl_->states; }
ThreadPool& Engine::pool() { return *impl_->pool; }

Result<RequestId> Engine::submit(Request request) {
  Impl& e = *impl_;
  const int64_t vocab = spec().vocab;
  TESSERA_RETURN_IF_ERROR(request.sampling.validate(vocab));
  if (request.prompt.empty()) return invalid_argument("prompt: expected at least one token, found none");
  for (int32_t token : request.prompt) {
    if (token < 0 || token >= vocab) return invalid_argument("prompt: expected token ids below {}, found {}", vocab, token);
  }
  const int64_t held = request.sequence ? e.states->length(*request.sequence) : 0;
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (held + prompt_tokens > e.options.context_tokens) {
    const std::string before = held > 0 ? fmt::format(" after {} in the cache", held) : "";
    return invalid_argument("prompt: {} tokens{} do not fit into the context of {} tokens (-c)", prompt_tokens, before,
                            e.options.context_tokens);
  }
  Running r;
  r.id = e.next_id++;
  r.sampler = Sampler(request.sampling);
  for (int32_t token : request.history) r.sampler.accept(token);
  for (int32_t token : request.prompt) r.sampler.accept(token);
  r.pending = request.prompt;
  r.request = std::move(request);
  r.submitted = Clock::now();
  const RequestId id = r.id;
  e.queued.push_back(std::move(r));
  return id;
}

void Engine::cancel(RequestId id) {
  for (auto* list : {&impl_->queued, &impl_->running}) {
    for (Running& r : *list) {
      if (r.id == id) r.cancelled = true;  // seen by the next step
    }
  }
}

bool Engine::idle() const { return impl_->queued.empty() && impl_->running.empty(); }

std::vector<TokenEvent> Engine::step() {
  Impl& e = *impl_;
  std::vector<TokenEvent> events;
  const auto end_cancelled = [&](Running& r) {
    if (!r.cancelled) return false;
    events.push_back(e.finish(r, FinishReason::kCancelled));
    return true;
  };
  std::erase_if(e.queued, end_cancelled);
  e.admit();
  std::erase_if(e.running, end_cancelled);

  // Decoding sequences first (their next token is waited for), then prompts in the order of arrival.
  e.clear_batch();
  for (const bool decoding : {true, false}) {
    for (Running& r : e.running) {
      if ((r.generated > 0) != decoding || e.room() == 0) continue;
      const int64_t n = std::min(r.pending_tokens(), e.room());
      const bool last = n == r.pending_tokens();
      const std::span<const int32_t> next(r.pending.data() + r.pending_begin, static_cast<size_t>(n));
      if (Status status = e.add(r.sequence, next, last ? 1 : 0); !status.ok()) {
        e.failed.emplace_back(&r, std::move(status));
        continue;
      }
      e.members.push_back(&r);
      e.taken.push_back(n);
    }
  }

  for (auto& [r, status] : e.failed) {
    e.ended.push_back(r->id);
    events.push_back(e.finish(*r, FinishReason::kError, std::move(status)));
  }
  if (!e.members.empty()) {
    const Rows<float> logits = e.forward();
    int64_t row = 0;
    for (size_t i = 0; i < e.members.size(); ++i) {
      Running& r = *e.members[i];
      e.states->commit(r.sequence, e.taken[i]);
      r.pending_begin += static_cast<size_t>(e.taken[i]);
      if (r.pending_tokens() > 0) continue;
      events.push_back(e.advance(r, {logits.row(row++), static_cast<size_t>(logits.cols)}));
      if (events.back().finish) e.ended.push_back(r.id);
    }
  }
  std::erase_if(e.running, [&](const Running& r) { return std::ranges::find(e.ended, r.id) != e.ended.end(); });
  return events;
}

RequestTimings Engine::timings(RequestId id) const {
  const auto it = impl_->timings.find(id);
  return it == impl_->timings.end() ? RequestTimings{} : it->second;
}

Status Engine::append(std::span<const Append> items,
                      FunctionRef<void(int64_t item, int64_t token, std::span<float> logits)> use) {
  Impl& e = *impl_;
  e.clear_batch();
  for (const Append& item : items) {
    const auto n = static_cast<int64_t>(item.tokens.size());
    if (n > e.room()) return invalid_argument("append: expected at most {} tokens in all", e.options.batch_tokens);
    for (int32_t token : item.tokens) {
      if (token < 0 || token >= spec().vocab) return invalid_argument("append: token {} is not below {}", token, spec().vocab);
    }
    if (n == 0) continue;
    TESSERA_RETURN_IF_ERROR(e.add(item.sequence, item.tokens, item.all_logits ? n : 1));
  }
  if (e.tokens.empty()) return {};
  const Rows<float> logits = e.forward();
  int64_t row = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto n = static_cast<int64_t>(items[i].tokens.size());
    if (n == 0) continue;
    e.states->commit(items[i].sequence, n);
    for (int64_t t = items[i].all_logits ? 0 : n - 1; t < n; ++t) {
      use(static_cast<int64_t>(i), t, {logits.row(row++), static_cast<size_t>(logits.cols)});
    }
  }
  return {};
}

}  // namespace tessera
