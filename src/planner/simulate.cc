#include "planner/simulate.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>

namespace tessera {
namespace {

struct Running {
  int64_t last_step;  // of its replica, after which the request is complete
  int32_t request;
  bool operator>(const Running& o) const { return last_step > o.last_step; }
};

struct Progress {
  double first_token = 0, share_at_start = 0;
  float prefill_chip_seconds = 0;
  int32_t prompt_left = 0;
};

// What a replica is doing; the step that is under way ends at `step_end`.
struct Replica {
  bool prefills = true, decodes = true;
  std::deque<int32_t> waiting;     // not yet admitted
  std::deque<int32_t> prefilling;  // admitted; the front one is being read
  std::priority_queue<Running, std::vector<Running>, std::greater<>> running;
  double context_tokens = 0;  // cached tokens of running sequences
  double reserved_tokens = 0;
  int64_t step = 0, outstanding = 0;
  double share = 0;  // integral of dt / sequences on board
  double step_end = 0, step_seconds = 0;
  int64_t chunk_rows = 0;
  bool busy = false;
};

struct Event {
  double time;
  int32_t replica;  // a step ends there
  int32_t request;  // >= 0: the cache of this request arrives at a decode replica
  bool operator>(const Event& o) const { return time > o.time; }
};

class Simulator {
 public:
  Simulator(const StepTimes& times, const FleetSpec& fleet, std::span<const RequestSpec> requests,
            const ServiceTarget& target)
      : times_(times), fleet_(fleet), requests_(requests), target_(target), progress_(requests.size()) {
    replicas_.resize(static_cast<size_t>(fleet.replicas + fleet.prefill_replicas));
    for (size_t i = 0; i < replicas_.size() && fleet.prefill_replicas > 0; ++i) {
      replicas_[i].prefills = i < static_cast<size_t>(fleet.prefill_replicas);
      replicas_[i].decodes = !replicas_[i].prefills;
    }
    ttft_.reserve(requests.size());
    tpot_.reserve(requests.size());
    total_.reserve(requests.size());
    chip_seconds_.reserve(requests.size());
  }

  SimulationResult run(const KeepGoing& keep_going) {
    constexpr int64_t kEventsPerAsking = 4096;
    size_t next = 0;
    for (int64_t events = 1; next < requests_.size() || !events_.empty(); ++events) {
      if (keep_going && events % kEventsPerAsking == 0 && !keep_going()) {
        SimulationResult nothing;
        nothing.stopped = true;
        return nothing;
      }
      if (events_.empty() || (next < requests_.size() && requests_[next].arrival <= events_.top().time)) {
        now_ = requests_[next].arrival;
        arrive(static_cast<int32_t>(next++));
        continue;
      }
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      event.request >= 0 ? handed_over(event.request) : step_ends(event.replica);
    }
    return summary();
  }

 private:
  // The replica with the fewest outstanding requests; ties go round. A thousand replicas are scanned from a moving
  // start, and the scan stops at the first idle one.
  int32_t route(bool prefill) {
    const size_t first = prefill || fleet_.prefill_replicas == 0 ? 0 : static_cast<size_t>(fleet_.prefill_replicas);
    const size_t last =
        prefill && fleet_.prefill_replicas > 0 ? static_cast<size_t>(fleet_.prefill_replicas) : replicas_.size();
    size_t& cursor = cursor_[prefill];
    size_t best = first;
    int64_t least = INT64_MAX;
    for (size_t k = 0; k < last - first; ++k) {
      const size_t i = first + (cursor + k) % (last - first);
      if (replicas_[i].outstanding >= least) continue;
      best = i;
      least = replicas_[i].outstanding;
      if (least == 0) break;
    }
    cursor = best - first + 1;
    return static_cast<int32_t>(best);
  }

  void arrive(int32_t id) {
    const RequestSpec& request = requests_[static_cast<size_t>(id)];
    if (static_cast<double>(request.prompt_tokens) + request.output_tokens > fleet_.kv_tokens) {
      ++refused_;
      return;
    }
    progress_[static_cast<size_t>(id)].prompt_left = request.prompt_tokens;
    const int32_t where = route(true);
    Replica& r = replicas_[static_cast<size_t>(where)];
    ++r.outstanding;
    r.waiting.push_back(id);
    if (!r.busy) start_step(where);
  }

  void handed_over(int32_t id) {
    const int32_t where = route(false);
    Replica& r = replicas_[static_cast<size_t>(where)];
    ++r.outstanding;
    r.waiting.push_back(id);
    if (!r.busy) start_step(where);
  }

  double tokens_of(int32_t id) const {
    const RequestSpec& q = requests_[static_cast<size_t>(id)];
    return static_cast<double>(q.prompt_tokens) + q.output_tokens;
  }

  void begin_decode(Replica* r, int32_t id) {
    const RequestSpec& q = requests_[static_cast<size_t>(id)];
    r->running.push({r->step + q.output_tokens - 1, id});
    r->context_tokens += q.prompt_tokens;
  }

  void admit(Replica* r) {
    while (!r->waiting.empty()) {
      const int32_t id = r->waiting.front();
      const int64_t on_board = static_cast<int64_t>(r->running.size() + r->prefilling.size());
      if (on_board >= fleet_.max_batch || r->reserved_tokens + tokens_of(id) > fleet_.kv_tokens) return;
      r->waiting.pop_front();
      r->reserved_tokens += tokens_of(id);
      progress_[static_cast<size_t>(id)].share_at_start = r->share;
      r->prefills ? r->prefilling.push_back(id) : begin_decode(r, id);
    }
  }

  void start_step(int32_t where) {
    Replica& r = replicas_[static_cast<size_t>(where)];
    admit(&r);
    const int64_t rows = static_cast<int64_t>(r.running.size());
    r.busy = rows > 0 || !r.prefilling.empty();
    if (!r.busy) return;
    int64_t room = fleet_.chunk_tokens;
    double before = 0;
    r.chunk_rows = 0;
    for (const int32_t id : r.prefilling) {
      const Progress& p = progress_[static_cast<size_t>(id)];
      const int64_t take = std::min<int64_t>(room, p.prompt_left);
      before += static_cast<double>(take) * (requests_[static_cast<size_t>(id)].prompt_tokens - p.prompt_left);
      r.chunk_rows += take;
      room -= take;
      if (room == 0) break;
    }
    const double mean_before = r.chunk_rows > 0 ? before / static_cast<double>(r.chunk_rows) : 0;
    r.step_seconds = times_.seconds(rows, r.context_tokens, r.chunk_rows, mean_before);
    r.step_end = now_ + r.step_seconds;
    busy_seconds_ += r.step_seconds;
    rows_ += static_cast<double>(rows);
    ++steps_;
    events_.push({r.step_end, where, -1});
  }

  void step_ends(int32_t where) {
    Replica& r = replicas_[static_cast<size_t>(where)];
    const double on_board = static_cast<double>(r.running.size() + r.prefilling.size());
    r.share += r.step_seconds / std::max(1.0, on_board);
    ++r.step;
    r.context_tokens += static_cast<double>(r.running.size());
    while (!r.running.empty() && r.running.top().last_step <= r.step) {
      const int32_t id = r.running.top().request;
      r.running.pop();
      r.context_tokens -= tokens_of(id) - 1;
      finish(&r, id);
    }
    int64_t left = r.chunk_rows;
    while (left > 0) {
      const int32_t id = r.prefilling.front();
      Progress& p = progress_[static_cast<size_t>(id)];
      const int32_t take = static_cast<int32_t>(std::min<int64_t>(left, p.prompt_left));
      p.prompt_left -= take;
      left -= take;
      if (p.prompt_left > 0) break;
      r.prefilling.pop_front();
      prefilled(&r, id);
    }
    start_step(where);
  }

  // The last prompt token's logits are the first output token.
  void prefilled(Replica* r, int32_t id) {
    Progress& p = progress_[static_cast<size_t>(id)];
    const RequestSpec& q = requests_[static_cast<size_t>(id)];
    p.first_token = now_;
    ttft_.push_back(static_cast<float>(now_ - q.arrival));
    if (q.output_tokens == 1) return finish(r, id);
    if (r->decodes) return begin_decode(r, id);
    p.prefill_chip_seconds = static_cast<float>((r->share - p.share_at_start) * fleet_.chips_per_replica);
    r->reserved_tokens -= tokens_of(id);
    --r->outstanding;
    events_.push({now_ + fleet_.handover_seconds_per_token * q.prompt_tokens, -1, id});
  }

  void finish(Replica* r, int32_t id) {
    const Progress& p = progress_[static_cast<size_t>(id)];
    const RequestSpec& q = requests_[static_cast<size_t>(id)];
    r->reserved_tokens -= tokens_of(id);
    --r->outstanding;
    const double ttft = p.first_token - q.arrival;
    const double tpot = q.output_tokens > 1 ? (now_ - p.first_token) / (q.output_tokens - 1) : 0;
    if (q.output_tokens > 1) tpot_.push_back(static_cast<float>(tpot));
    total_.push_back(static_cast<float>(now_ - q.arrival));
    chip_seconds_.push_back(static_cast<float>((r->share - p.share_at_start) * fleet_.chips_per_replica) +
                            p.prefill_chip_seconds);
    const bool met = (target_.ttft_seconds <= 0 || ttft <= target_.ttft_seconds) &&
                     (target_.tpot_seconds <= 0 || tpot <= target_.tpot_seconds);
    met_ += met;
    output_tokens_ += q.output_tokens;
    last_ = std::max(last_, now_);
  }

  SimulationResult summary() {
    SimulationResult s;
    s.requests = static_cast<int64_t>(requests_.size());
    s.refused = refused_;
    s.steps = steps_;
    s.seconds = requests_.empty() ? 0 : std::max(1e-9, last_ - requests_.front().arrival);
    s.ttft = percentiles(&ttft_);
    s.tpot = percentiles(&tpot_);
    s.request = percentiles(&total_);
    s.chip_seconds = percentiles(&chip_seconds_);
    if (s.seconds <= 0) return s;
    s.output_tokens_per_second = output_tokens_ / s.seconds;
    s.goodput_per_second = static_cast<double>(met_) / s.seconds;
    s.met = s.requests > 0 ? static_cast<double>(met_) / static_cast<double>(s.requests) : 0;
    const double replicas = static_cast<double>(replicas_.size());
    s.busy = busy_seconds_ / (replicas * s.seconds);
    s.mean_batch = steps_ > 0 ? rows_ / static_cast<double>(steps_) : 0;
    const double dollars = replicas * fleet_.chips_per_replica * s.seconds / 3600 * fleet_.dollars_per_chip_hour;
    s.dollars_per_million = output_tokens_ > 0 ? dollars / output_tokens_ * 1e6 : 0;
    return s;
  }

  const StepTimes& times_;
  const FleetSpec& fleet_;
  std::span<const RequestSpec> requests_;
  const ServiceTarget& target_;
  std::vector<Progress> progress_;
  std::vector<Replica> replicas_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  size_t cursor_[2] = {0, 0};
  double now_ = 0, last_ = 0, busy_seconds_ = 0, rows_ = 0, output_tokens_ = 0;
  int64_t steps_ = 0, met_ = 0, refused_ = 0;
  std::vector<float> ttft_, tpot_, total_, chip_seconds_;
};

}  // namespace

StepTimes::StepTimes(const ModelShape& model, const HardwareSpec& hardware, const Partition& prefill,
                     const Partition& decode, const NumberTypes& types, int64_t max_batch, int64_t chunk_tokens) {
  constexpr int64_t kFar = 4096;
  decode_.push_back(0);
  decode_slope_.push_back(0);
  for (int64_t rows = 1; rows <= max_batch; ++rows) {
    const double near = predict_pass(model, hardware, decode, {rows, 1, 0}, types).total;
    const double far = predict_pass(model, hardware, decode, {rows, 1, kFar}, types).total;
    decode_.push_back(near);
    decode_slope_.push_back(std::max(0.0, far - near) / static_cast<double>(kFar * rows));
  }
  prefill_.push_back(0);
  for (int64_t rows = 1; rows <= max_batch + chunk_tokens; ++rows)
    prefill_.push_back(predict_pass(model, hardware, prefill, {1, rows, 0}, types).total);
  const double far = predict_pass(model, hardware, prefill, {1, chunk_tokens, kFar}, types).total;
  prefill_slope_ =
      std::max(0.0, far - prefill_[static_cast<size_t>(chunk_tokens)]) / static_cast<double>(kFar * chunk_tokens);
}

double StepTimes::seconds(int64_t decode_rows, double context_tokens, int64_t prefill_rows,
                          double prefill_context) const {
  const size_t d = std::min(static_cast<size_t>(decode_rows), decode_.size() - 1);
  const double cached = decode_slope_[d] * context_tokens;
  if (prefill_rows == 0) return decode_[d] + cached;
  const size_t all = std::min(static_cast<size_t>(prefill_rows + decode_rows), prefill_.size() - 1);
  const double chunk = prefill_slope_ * static_cast<double>(prefill_rows) * prefill_context;
  return std::max(prefill_[all], decode_[d]) + cached + chunk;
}

Percentiles percentiles(std::vector<float>* values) {
  Percentiles p;
  if (values->empty()) return p;
  std::sort(values->begin(), values->end());
  double sum = 0;
  for (const float v : *values) sum += v;
  p.mean = sum / static_cast<double>(values->size());
  const auto at = [&](double q) {
    return (*values)[static_cast<size_t>(q * static_cast<double>(values->size() - 1) + 0.5)];
  };
  p.p50 = at(0.5);
  p.p90 = at(0.9);
  p.p95 = at(0.95);
  p.p99 = at(0.99);
  p.max = values->back();
  return p;
}

SimulationResult simulate(const StepTimes& times, const FleetSpec& fleet, std::span<const RequestSpec> requests,
                          const ServiceTarget& target, const KeepGoing& keep_going) {
  return Simulator(times, fleet, requests, target).run(keep_going);
}

FleetAnswer smallest_fleet(const StepTimes& times, FleetSpec fleet, std::span<const RequestSpec> requests,
                           const ServiceTarget& target, int64_t most, const KeepGoing& keep_going) {
  const double ratio =
      static_cast<double>(fleet.prefill_replicas) / static_cast<double>(std::max<int64_t>(1, fleet.replicas));
  FleetAnswer answer;
  const auto meets = [&](int64_t replicas) {
    fleet.prefill_replicas = ratio > 0 ? std::max<int64_t>(1, std::llround(ratio * static_cast<double>(replicas))) : 0;
    fleet.replicas = replicas;
    const SimulationResult result = simulate(times, fleet, requests, target, keep_going);
    answer.stopped = answer.stopped || result.stopped;
    if (result.met < target.quantile) return false;
    answer = {replicas, fleet.prefill_replicas, result, false};
    return true;
  };
  int64_t high = 1;
  while (!meets(high)) {
    if (high >= most || answer.stopped) return answer;
    high = std::min(2 * high, most);
  }
  int64_t low = high / 2;  // fails (or 0)
  while (high - low > 1 && !answer.stopped) {
    const int64_t middle = low + (high - low) / 2;
    (meets(middle) ? high : low) = middle;
  }
  return answer;
}

}  // namespace tessera
