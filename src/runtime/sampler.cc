#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/log_sum_exp.h"

namespace tessera {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// splitmix64 (Steele et al. 2014).
uint64_t next_random(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

Status in_range(const char* name, double value, double least, double most) {
  if (value >= least && value <= most) return {};
  return invalid_argument("{}: expected {} to {}, found {}", name, least, most, value);
}

// The order of candidates: larger logit first, smaller id among equals.
template <class C>
bool before(const C& a, const C& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

}  // namespace

Status SamplerSettings::validate(int64_t vocab) const {
  TESSERA_RETURN_IF_ERROR(in_range("temperature", temperature, 0, 100));
  TESSERA_RETURN_IF_ERROR(in_range("top_k", top_k, 0, 1e9));
  TESSERA_RETURN_IF_ERROR(in_range("top_p", top_p, 0, 1));
  TESSERA_RETURN_IF_ERROR(in_range("min_p", min_p, 0, 1));
  TESSERA_RETURN_IF_ERROR(in_range("repeat_penalty", repeat_penalty, 1e-3, 1e3));
  TESSERA_RETURN_IF_ERROR(in_range("frequency_penalty", frequency_penalty, -100, 100));
  TESSERA_RETURN_IF_ERROR(in_range("presence_penalty", presence_penalty, -100, 100));
  TESSERA_RETURN_IF_ERROR(in_range("penalty_last_n", penalty_last_n, -1, 1e9));
  TESSERA_RETURN_IF_ERROR(in_range("logprobs", logprobs, 0, static_cast<double>(std::min<int64_t>(vocab, 100))));
  for (const auto& [token, bias] : logit_bias) {
    TESSERA_RETURN_IF_ERROR(in_range("logit_bias token", token, 0, static_cast<double>(vocab - 1)));
    if (std::isnan(bias)) return invalid_argument("logit_bias of token {}: expected a number, found nan", token);
  }
  return {};
}

Sampler::Sampler(SamplerSettings settings) : settings_(std::move(settings)), state_(settings_.seed) {}

void Sampler::accept(int32_t token) { history_.push_back(token); }

double Sampler::uniform() { return static_cast<double>(next_random(&state_) >> 11) * 0x1.0p-53; }

void Sampler::penalize(std::span<float> logits) const {
  const SamplerSettings& s = settings_;
  if (s.repeat_penalty == 1.0f && s.frequency_penalty == 0.0f && s.presence_penalty == 0.0f) return;
  size_t begin = 0;
  if (s.penalty_last_n >= 0) begin = history_.size() - std::min<size_t>(history_.size(), static_cast<size_t>(s.penalty_last_n));
  std::vector<int32_t> seen(history_.begin() + static_cast<int64_t>(begin), history_.end());
  std::ranges::sort(seen);
  for (size_t i = 0; i < seen.size();) {
    size_t j = i;
    while (j < seen.size() && seen[j] == seen[i]) ++j;
    float& logit = logits[static_cast<size_t>(seen[i])];
    logit = logit > 0 ? logit / s.repeat_penalty : logit * s.repeat_penalty;
    logit -= static_cast<float>(j - i) * s.frequency_penalty + s.presence_penalty;
    i = j;
  }
}

// The top_k best tokens, best first, without sorting the vocabulary: a heap of k whose worst member is the threshold; after
// the first few hundred tokens hardly any passes it. All tokens, sorted, when top_k is off.
void Sampler::select(std::span<const float> logits) {
  const auto k = settings_.top_k > 0 ? std::min<size_t>(static_cast<size_t>(settings_.top_k), logits.size()) : logits.size();
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const Candidate c{logits[i], static_cast<int32_t>(i)};
    if (candidates_.size() < k) {
      candidates_.push_back(c);
      if (candidates_.size() == k && k < logits.size()) std::ranges::make_heap(candidates_, before<Candidate>);
    } else if (c.logit > candidates_.front().logit) {
      std::ranges::pop_heap(candidates_, before<Candidate>);
      candidates_.back() = c;
      std::ranges::push_heap(candidates_, before<Candidate>);
    }
  }
  std::ranges::sort(candidates_, before<Candidate>);
}

SampledToken Sampler::sample(std::span<float> logits) {
  for (float& l : logits) {
    if (std::isnan(l)) l = kMinusInfinity;
  }
  SampledToken result;
  double lse = 0;
  if (settings_.logprobs > 0) {
    lse = log_sum_exp(logits);
    std::vector<Candidate> all(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) all[i] = {logits[i], static_cast<int32_t>(i)};
    const auto n = std::min<size_t>(static_cast<size_t>(settings_.logprobs), all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<int64_t>(n), all.end(), before<Candidate>);
    for (size_t i = 0; i < n; ++i) result.top.push_back({all[i].token, static_cast<float>(all[i].logit - lse)});
  }
  // The chosen token's logprob refers to the unmodified distribution, but the logits are about to change.
  std::vector<float> original;
  if (settings_.logprobs > 0) original.assign(logits.begin(), logits.end());

  for (const auto& [token, bias] : settings_.logit_bias) logits[static_cast<size_t>(token)] += bias;
  penalize(logits);

  if (settings_.temperature == 0.0f) {
    result.token = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
  } else {
    select(logits);
    const float top = candidates_.front().logit;
    size_t n = candidates_.size();
    if (settings_.top_p < 1.0f) {
      double total = 0, mass = 0;
      for (const Candidate& c : candidates_) total += std::exp(static_cast<double>(c.logit) - top);
      for (n = 0; n < candidates_.size() && (n == 0 || mass < settings_.top_p * total); ++n) {
        mass += std::exp(static_cast<double>(candidates_[n].logit) - top);
      }
    }
    if (settings_.min_p > 0.0f) {
      const float least = top + std::log(settings_.min_p);
      while (n > 1 && candidates_[n - 1].logit < least) --n;
    }
    double total = 0;
    for (size_t i = 0; i < n; ++i) total += std::exp((static_cast<double>(candidates_[i].logit) - top) / settings_.temperature);
    double left = uniform() * total;
    size_t chosen = 0;
    for (; chosen + 1 < n; ++chosen) {
      left -= std::exp((static_cast<double>(candidates_[chosen].logit) - top) / settings_.temperature);
      if (left < 0) break;
    }
    result.token = candidates_[chosen].token;
  }
  if (settings_.logprobs > 0) result.logprob = static_cast<float>(original[static_cast<size_t>(result.token)] - lse);
  return result;
}

}  // namespace tessera
