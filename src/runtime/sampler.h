// Sampler: turns a row of logits into a token. The order of the steps is the one users know from llama.cpp:
// logit bias, penalties, top-k, top-p, min-p, temperature, draw. Temperature 0 is greedy. The same seed and the same
// logits give the same token, whatever else runs. The vocabulary is never sorted: the likeliest tokens are selected, as
// many as the settings need. After the first token nothing is allocated, unless alternatives are reported or penalties
// see all tokens.
#ifndef TESSERA_RUNTIME_SAMPLER_H_
#define TESSERA_RUNTIME_SAMPLER_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"

namespace tessera {

struct SamplerSettings {
  float temperature = 0.8f;
  int32_t top_k = 40;              // 0: off
  float top_p = 0.95f;             // 1: off
  float min_p = 0.05f;             // 0: off
  float repeat_penalty = 1.0f;     // 1: off (Keskar et al. 2019)
  float frequency_penalty = 0.0f;  // subtracted per occurrence
  float presence_penalty = 0.0f;   // subtracted once
  int32_t penalty_last_n = 64;     // how many last tokens the penalties see; -1: all
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // token, added to its logit
  int32_t logprobs = 0;                               // how many alternatives to report with each token

  // Ranges, with the flag's name in the message. vocab: for logit_bias ids.
  Status validate(int64_t vocab) const;
};

struct TokenProbability {
  int32_t token;
  float logprob;  // natural log, under the unmodified distribution (softmax of the logits)
};

struct SampledToken {
  int32_t token = 0;
  float logprob = 0;                  // as above; 0 unless settings.logprobs > 0
  std::vector<TokenProbability> top;  // settings.logprobs entries, most likely first
};

class Sampler {
 public:
  explicit Sampler(SamplerSettings settings);
  // logits: [vocab], clobbered. Not-a-number logits are treated as minus infinity.
  SampledToken sample(std::span<float> logits);
  // Tokens that the penalties see: the prompt and every sampled token (sample() does not add its own).
  void accept(int32_t token);
  const SamplerSettings& settings() const { return settings_; }

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };
  double uniform();  // [0, 1)
  bool penalizes() const;
  void penalize(std::span<float> logits);
  void report(std::span<const float> logits, double log_sum, SampledToken* result);
  int32_t draw(std::span<const float> logits);
  int32_t draw_by_id(double left, int32_t best) const;
  int32_t draw_from_all(std::span<const float> logits, double u);
  int32_t draw_from_many(std::span<const float> logits, size_t limit, double u);
  double exponentials(std::span<const float> logits, float top, float temperature);
  void select(std::span<const float> logits, size_t k);
  size_t kept(double total) const;

  SamplerSettings settings_;
  uint64_t state_;                // of the generator (splitmix64)
  std::vector<int32_t> history_;  // what the penalties see
  // Scratch.
  std::vector<Candidate> candidates_;
  std::vector<float> weights_, original_;
  std::vector<int32_t> seen_;
};

}  // namespace tessera

#endif  // TESSERA_RUNTIME_SAMPLER_H_
