// ln of the sum of exp(logits), in double: what turns logits into log-probabilities, for sampling and for scoring.
#ifndef TESSERA_RUNTIME_LOG_SUM_EXP_H_
#define TESSERA_RUNTIME_LOG_SUM_EXP_H_

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace tessera {

// -infinity when every logit is. logits: not empty.
inline double log_sum_exp(std::span<const float> logits) {
  const float top = *std::ranges::max_element(logits);
  if (top == -std::numeric_limits<float>::infinity()) return top;
  double sum = 0;
  for (float l : logits) sum += std::exp(static_cast<double>(l) - top);
  return top + std::log(sum);
}

}  // namespace tessera

#endif  // TESSERA_RUNTIME_LOG_SUM_EXP_H_
