#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
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

Sampler::Sampler(SamplerSettings settings) : settings_(std::move(settings)), state_(settings_.seed) {
  constexpr int32_t kMostReserved = 4096;  // the setting comes from a request
  if (penalizes()) history_.reserve(2 * static_cast<size_t>(std::clamp(settings_.penalty_last_n, 0, kMostReserved)));
}

bool Sampler::penalizes() const {
  const SamplerSettings& s = settings_;
  return s.penalty_last_n != 0 &&
         (s.repeat_penalty != 1.0f || s.frequency_penalty != 0.0f || s.presence_penalty != 0.0f);
}

void Sampler::accept(int32_t token) {
  if (!penalizes()) return;
  const auto last = static_cast<int64_t>(settings_.penalty_last_n);
  if (last > 0 && static_cast<int64_t>(history_.size()) == 2 * last)
    history_.erase(history_.begin(), history_.begin() + last);
  history_.push_back(token);
}

double Sampler::uniform() { return static_cast<double>(next_random(&state_) >> 11) * 0x1.0p-53; }

void Sampler::penalize(std::span<float> logits) {
  const SamplerSettings& s = settings_;
  if (!penalizes()) return;
  size_t begin = 0;
  if (s.penalty_last_n >= 0)
    begin = history_.size() - std::min<size_t>(history_.size(), static_cast<size_t>(s.penalty_last_n));
  seen_.assign(history_.begin() + static_cast<int64_t>(begin), history_.end());
  std::ranges::sort(seen_);
  for (size_t i = 0; i < seen_.size();) {
    size_t j = i;
    while (j < seen_.size() && seen_[j] == seen_[i]) ++j;
    float& logit = logits[static_cast<size_t>(seen_[i])];
    logit = logit > 0 ? logit / s.repeat_penalty : logit * s.repeat_penalty;
    logit -= static_cast<float>(j - i) * s.frequency_penalty + s.presence_penalty;
    i = j;
  }
}

// The k best tokens, best first, without sorting the vocabulary: a heap of k whose worst member is the threshold; after
// the first few hundred tokens hardly any passes it.
void Sampler::select(std::span<const float> logits, size_t k) {
  candidates_.clear();
  candidates_.reserve(k);
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

// weights_[i] = exp((logit i - top) / temperature); returns their sum.
double Sampler::exponentials(std::span<const float> logits, float top, float temperature) {
  weights_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) weights_[i] = (logits[i] - top) / temperature;
  kernels().elementwise.exp(weights_.data(), weights_.data(), static_cast<int64_t>(weights_.size()));
  double total = 0;
  for (float w : weights_) total += w;
  return total;
}

// The token at which the running sum of the weights passes `left`; `best` where rounding leaves a rest.
int32_t Sampler::draw_by_id(double left, int32_t best) const {
  for (size_t i = 0; i < weights_.size(); ++i) {
    left -= weights_[i];
    if (left < 0) return static_cast<int32_t>(i);
  }
  return best;
}

int32_t Sampler::draw_from_all(std::span<const float> logits, double u) {
  const auto best = std::ranges::max_element(logits);
  const double total = exponentials(logits, *best, settings_.temperature);
  return draw_by_id(u * total, static_cast<int32_t>(best - logits.begin()));
}

// Of the `limit` best tokens those that top-p and min-p keep, where they are too many to be worth sorting: a flat distribution.
// The border is found by halving (selection by weight, linear in the vocabulary), and the draw goes through the tokens by id.
int32_t Sampler::draw_from_many(std::span<const float> logits, size_t limit, double u) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  const auto first = candidates_.begin();
  const auto at = [&](size_t i) { return first + static_cast<int64_t>(i); };
  if (limit < candidates_.size()) std::nth_element(first, at(limit), candidates_.end(), before<Candidate>);
  const Candidate best = *std::min_element(first, at(limit), before<Candidate>);
  Candidate worst = *std::max_element(first, at(limit), before<Candidate>);
  if (settings_.top_p < 1.0f) {
    exponentials(logits, best.logit, 1.0f);
    const auto mass_of = [&](size_t begin, size_t end) {
      double mass = 0;
      for (size_t i = begin; i < end; ++i) mass += weights_[static_cast<size_t>(candidates_[i].token)];
      return mass;
    };
    // The best `low` are not enough, the best `high` are (or all that there are).
    size_t low = 0, high = limit;
    for (double left = settings_.top_p * mass_of(0, limit); high - low > 1;) {
      const size_t middle = low + (high - low) / 2;
      std::nth_element(at(low), at(middle), at(high), before<Candidate>);
      const double mass = mass_of(low, middle);
      if (mass >= left) {
        high = middle;
      } else {
        left -= mass;
        low = middle;
      }
    }
    worst = candidates_[low];
  }
  const float least = settings_.min_p > 0.0f ? best.logit + std::log(settings_.min_p) : kMinusInfinity;
  exponentials(logits, best.logit, settings_.temperature);
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const Candidate c{logits[i], static_cast<int32_t>(i)};
    if (before(worst, c) || c.logit < least) weights_[i] = 0;
    total += weights_[i];
  }
  return draw_by_id(u * total, best.token);
}

// How many of the candidates top-p and min-p keep. total: of exp(logit - best) over all tokens that top-p sees.
size_t Sampler::kept(double total) const {
  const float top = candidates_.front().logit;
  size_t n = candidates_.size();
  if (settings_.top_p < 1.0f) {
    double mass = 0;
    for (n = 0; n < candidates_.size() && (n == 0 || mass < settings_.top_p * total); ++n) {
      mass += std::exp(static_cast<double>(candidates_[n].logit) - top);
    }
  }
  if (settings_.min_p > 0.0f) {
    const float least = top + std::log(settings_.min_p);
    while (n > 1 && candidates_[n - 1].logit < least) --n;
  }
  return n;
}

int32_t Sampler::draw(std::span<const float> logits) {
  constexpr size_t kFirstSelection = 256, kMostSorted = 4096;
  const SamplerSettings& s = settings_;
  const double u = uniform();
  const size_t vocab = logits.size();
  const size_t limit = s.top_k > 0 ? std::min<size_t>(static_cast<size_t>(s.top_k), vocab) : vocab;
  if (limit == vocab && s.top_p >= 1.0f && s.min_p <= 0.0f) return draw_from_all(logits, u);

  double all = 0;  // top-p without top-k
  if (limit == vocab && s.top_p < 1.0f) all = exponentials(logits, *std::ranges::max_element(logits), 1.0f);
  size_t n = 0;
  for (size_t k = s.top_k > 0 ? limit : std::min(limit, kFirstSelection);; k = std::min(limit, 8 * k)) {
    if (k > kMostSorted) return draw_from_many(logits, limit, u);
    select(logits, k);
    double total = all;
    if (all == 0) {
      for (const Candidate& c : candidates_)
        total += std::exp(static_cast<double>(c.logit) - candidates_.front().logit);
    }
    n = kept(total);
    if (n < k || k == limit) break;
  }

  const float top = candidates_.front().logit;
  weights_.resize(std::max(weights_.size(), n));
  double total = 0;
  for (size_t i = 0; i < n; ++i) {
    weights_[i] = static_cast<float>(std::exp((static_cast<double>(candidates_[i].logit) - top) / s.temperature));
    total += weights_[i];
  }
  double left = u * total;
  size_t chosen = 0;
  for (; chosen + 1 < n; ++chosen) {
    left -= weights_[chosen];
    if (left < 0) break;
  }
  return candidates_[chosen].token;
}

// The likeliest alternatives, under the unmodified distribution.
void Sampler::report(std::span<const float> logits, double log_sum, SampledToken* result) {
  select(logits, std::min<size_t>(static_cast<size_t>(settings_.logprobs), logits.size()));
  for (const Candidate& c : candidates_) result->top.push_back({c.token, static_cast<float>(c.logit - log_sum)});
}

SampledToken Sampler::sample(std::span<float> logits) {
  for (float& l : logits) {
    if (std::isnan(l)) l = kMinusInfinity;
  }
  SampledToken result;
  double log_sum = 0;
  if (settings_.logprobs > 0) {
    log_sum = log_sum_exp(logits);
    report(logits, log_sum, &result);
    // The chosen token's logprob refers to this distribution, but the logits are about to change.
    original_.assign(logits.begin(), logits.end());
  }
  for (const auto& [token, bias] : settings_.logit_bias) logits[static_cast<size_t>(token)] += bias;
  penalize(logits);
  result.token = settings_.temperature == 0.0f ? static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin())
                                               : draw(logits);
  if (settings_.logprobs > 0)
    result.logprob = static_cast<float>(original_[static_cast<size_t>(result.token)] - log_sum);
  return result;
}

}  // namespace tessera
