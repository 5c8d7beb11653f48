// Scoring text: how well a model predicts tokens that are given.
#ifndef TESSERA_RUNTIME_EVALUATE_H_
#define TESSERA_RUNTIME_EVALUATE_H_

#include <cstdint>
#include <span>

#include "base/function_ref.h"
#include "base/status.h"
#include "runtime/engine.h"

namespace tessera {

struct ScoreWindow {
  int64_t context_tokens = 0;  // most tokens of a window
  int64_t stride_tokens = 0;   // windows begin this far apart; a token is scored once, in the first window that reaches it
  int32_t first_token = -1;    // put before every window but the first (BOS of the tokenizer); -1: nothing
};

// -ln p of tokens[1], tokens[2], ...: score(index, logits), logits [vocab] before the token at `index`. The first window holds
// tokens [0, context); the next begins at stride and scores only what is new, so that every token has at least context - stride
// tokens before it. kCancelled when `score` returns false.
Status score_tokens(Engine& engine, std::span<const int32_t> tokens, const ScoreWindow& window,
                    FunctionRef<bool(int64_t index, std::span<const float> logits)> score);

// ln of softmax(logits)[token].
double log_probability(std::span<const float> logits, int32_t token);

// KL(p || q) in nats of the distributions that two rows of logits stand for.
double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits);

}  // namespace tessera

#endif  // TESSERA_RUNTIME_EVALUATE_H_
