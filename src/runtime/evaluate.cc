#include "runtime/evaluate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/log_sum_exp.h"

namespace tessera {
namespace {

// One window: tokens [begin, end) after an optional first token; scores tokens from `score_from` on.
Status score_window(Engine& engine, std::span<const int32_t> tokens, int64_t begin, int64_t end, int64_t score_from,
                    int32_t first_token, FunctionRef<bool(int64_t, std::span<const float>)> score) {
  std::vector<int32_t> fed;
  if (begin > 0 && first_token >= 0) fed.push_back(first_token);
  const auto extra = static_cast<int64_t>(fed.size());
  fed.insert(fed.end(), tokens.begin() + begin, tokens.begin() + end - 1);  // the last one is only predicted

  const SequenceId sequence = engine.states().create_sequence();
  Status status;
  bool go_on = true;
  for (int64_t at = 0; at < static_cast<int64_t>(fed.size()) && status.ok() && go_on; at += engine.options().batch_tokens) {
    const int64_t n = std::min(engine.options().batch_tokens, static_cast<int64_t>(fed.size()) - at);
    const Engine::Append item{sequence, std::span(fed).subspan(static_cast<size_t>(at), static_cast<size_t>(n)), true};
    status = engine.append({&item, 1}, [&](int64_t, int64_t t, std::span<float> logits) {
      const int64_t predicted = begin + at + t - extra + 1;
      if (go_on && predicted >= score_from) go_on = score(predicted, logits);
    });
  }
  engine.states().free_sequence(sequence);
  if (status.ok() && !go_on) return {StatusCode::kCancelled, "stopped"};
  return status;
}

}  // namespace

Status score_tokens(Engine& engine, std::span<const int32_t> tokens, const ScoreWindow& window,
                    FunctionRef<bool(int64_t, std::span<const float>)> score) {
  const auto total = static_cast<int64_t>(tokens.size());
  const int64_t room = window.context_tokens - (window.first_token >= 0 ? 1 : 0);
  if (room < 2 || window.context_tokens > engine.options().context_tokens) {
    return invalid_argument("window: expected 3 to {} tokens, found {}", engine.options().context_tokens, window.context_tokens);
  }
  if (window.stride_tokens < 1 || window.stride_tokens > room) {
    return invalid_argument("stride: expected 1 to {} tokens, found {}", room, window.stride_tokens);
  }
  int64_t scored_to = 1;  // the first token is given
  for (int64_t begin = 0; scored_to < total; begin += window.stride_tokens) {
    const int64_t end = std::min(total, begin + (begin == 0 ? window.context_tokens : room));
    if (end <= scored_to) continue;
    TESSERA_RETURN_IF_ERROR(score_window(engine, tokens, begin, end, scored_to, window.first_token, score));
    scored_to = end;
  }
  return {};
}

double log_probability(std::span<const float> logits, int32_t token) {
  return static_cast<double>(logits[static_cast<size_t>(token)]) - log_sum_exp(logits);
}

double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits) {
  const double p_lse = log_sum_exp(p_logits), q_lse = log_sum_exp(q_logits);
  double kl = 0;
  for (size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_logits[i] - p_lse;
    kl += std::exp(log_p) * (log_p - (q_logits[i] - q_lse));
  }
  return kl;
}

}  // namespace tessera
