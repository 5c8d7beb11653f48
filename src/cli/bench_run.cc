#include "cli/bench_run.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "cli/bench_model.h"
#include "cli/common_flags.h"
#include "cli/console.h"
#include "cli/probe.h"
#include "formats/checkpoint.h"
#include "planner/shape_checkpoint.h"
#include "probe/cpu_times.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

Result<BenchEngine> BenchEngine::open(const BenchCase& config, int64_t context, int64_t streams, BenchMachine machine) {
  BenchEngine bench;
  bench.machine_ = std::move(machine);
  const MachineInfo system = machine_info();
  bench.cpus_ = system.cpus;
  reset_peak_resident();
  TESSERA_ASSIGN_OR_RETURN(Checkpoint checkpoint, open_checkpoint(config.model));
  bench.info_ = describe_model(checkpoint);
  bench.info_.path = config.model;
  TESSERA_ASSIGN_OR_RETURN(const WeightChoice choice, parse_weights(config.weights));
  TESSERA_ASSIGN_OR_RETURN(checkpoint.weights, choose_weights(std::move(checkpoint.weights), choice));
  bench.main_dtype_ = dominant_dtype(*checkpoint.weights);
  bench.info_.weight_type = to_string(bench.main_dtype_);
  if (choice != WeightChoice::kStored) bench.info_.type += " as " + upper(bench.info_.weight_type);
  if (auto shape = shape_from_checkpoint(checkpoint); shape.ok()) bench.shape_ = *std::move(shape);

  EngineOptions options;
  options.threads = static_cast<int>(config.threads);
  options.context_tokens = context;
  options.max_sequences = streams;
  options.batch_tokens = config.batch;
  options.k_dtype = config.k_type;
  options.v_dtype = config.v_type;
  const auto begin = Clock::now();
  TESSERA_ASSIGN_OR_RETURN(bench.engine_, Engine::create(std::move(checkpoint), options,
                                                         [](uint64_t, uint64_t) { return !interrupted(); }));
  bench.info_.load_seconds = seconds_since(begin);
  bench.info_.packed_bytes = bench.engine_->model().weight_bytes();
  for (const CacheLevel& cache : system.caches) bench.info_.in_cache |= bench.info_.packed_bytes <= cache.bytes;
  return bench;
}

Status BenchEngine::prompt_pass(SequenceId sequence, int64_t tokens) {
  tokens_.resize(engine_->options().batch_tokens);
  for (int64_t done = 0; done < tokens;) {
    TESSERA_RETURN_IF_ERROR(not_interrupted());
    const int64_t n = std::min<int64_t>(tokens - done, engine_->options().batch_tokens);
    for (int64_t i = 0; i < n; ++i) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      tokens_[i] = static_cast<int32_t>((random_ >> 33) % static_cast<uint64_t>(engine_->spec().vocab));
    }
    const Engine::Append item{sequence, std::span<const int32_t>(tokens_).first(n)};
    TESSERA_RETURN_IF_ERROR(engine_->append({&item, 1}, [](int64_t, int64_t, std::span<float>) {}));
    done += n;
    tokens_read_ += n;
  }
  return {};
}

Status BenchEngine::fill(const std::vector<SequenceId>& sequences, int64_t tokens) {
  for (const SequenceId id : sequences) TESSERA_RETURN_IF_ERROR(prompt_pass(id, tokens));
  return {};
}

Status BenchEngine::generate_pass(const std::vector<SequenceId>& sequences, int64_t tokens) {
  std::vector<int32_t> next(sequences.size());
  std::vector<Engine::Append> items;
  for (size_t i = 0; i < sequences.size(); ++i) items.push_back({sequences[i], std::span<const int32_t>(&next[i], 1)});
  for (int64_t t = 0; t < tokens; ++t) {
    TESSERA_RETURN_IF_ERROR(not_interrupted());
    for (int32_t& token : next) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      token = static_cast<int32_t>((random_ >> 33) % static_cast<uint64_t>(engine_->spec().vocab));
    }
    TESSERA_RETURN_IF_ERROR(engine_->append(items, [](int64_t, int64_t, std::span<float>) {}));
    tokens_read_ += static_cast<int64_t>(next.size());
  }
  return {};
}

Status BenchEngine::one_pass(const BenchCase& test, const std::vector<SequenceId>& sequences) {
  if (test.prompt > 0) TESSERA_RETURN_IF_ERROR(prompt_pass(sequences.front(), test.prompt));
  return generate_pass(sequences, test.generate);
}

// The sum over the steps of max(bytes / bandwidth, operations / rate): a roofline, with the bandwidth of the state that
// the sample was taken in.
double BenchEngine::ideal_seconds(const BenchCase& test, CoreState state) const {
  if (!machine_.probe) return 0;
  const MachineLimits limits = limits_of(*machine_.probe, engine_->pool().threads());
  double bandwidth = limits.read_gb_per_s;
  if (state == CoreState::kNear && limits.read_near_gb_per_s > 0) bandwidth = limits.read_near_gb_per_s;
  if (state == CoreState::kFar && limits.read_far_gb_per_s > 0) bandwidth = limits.read_far_gb_per_s;
  double rate = limits.f32_gops;
  if (main_dtype_ == DType::kBF16 && limits.bf16_gops > 0) rate = limits.bf16_gops;
  if (dtype_info(main_dtype_).quantized && limits.i8_gops > 0) rate = limits.i8_gops;
  if (bandwidth <= 0 || rate <= 0) return 0;

  double seconds = 0;
  const auto add = [&](const StepShape& shape) {
    const StepCost cost = engine_->model().cost(shape);
    seconds += std::max((cost.weight_bytes + cost.state_bytes) / bandwidth, (cost.matmul_flops + cost.attention_flops) / rate);
  };
  const int64_t batch = engine_->options().batch_tokens;
  for (int64_t done = 0; done < test.prompt; done += batch) {
    add({std::min(batch, test.prompt - done), 1, test.depth + done});
  }
  for (int64_t t = 0; t < test.generate; ++t) add({test.streams, test.streams, test.depth + test.prompt + t});
  return seconds * 1e-9;
}

// Near or far where nearly all samples were; else unknown.
CoreState usual_state(const std::vector<BenchSample>& samples) {
  for (const CoreState state : {CoreState::kNear, CoreState::kFar}) {
    const auto in_state = std::ranges::count_if(samples, [&](const BenchSample& s) { return s.state == state; });
    if (4 * in_state >= 3 * static_cast<int64_t>(samples.size())) return state;
  }
  return CoreState::kUnknown;
}

// Rates of a description hold for all of its cores: other thread counts get no prediction.
BenchPrediction BenchEngine::predict(const BenchCase& test, CoreState state) const {
  const bool by_state = machine_.probed && machine_.probe;
  const HardwareSpec hardware = by_state ? in_core_state(machine_.hardware, *machine_.probe, state) : machine_.hardware;
  if (!shape_ || (hardware.cores > 0 && hardware.cores != engine_->pool().threads())) return {};
  BenchTest shape{test.prompt, test.generate, test.depth, test.streams};
  shape.batch_tokens = engine_->options().batch_tokens;
  const auto k = page_element_bytes(to_string(test.k_type), shape_->head_dim);
  const auto v = page_element_bytes(to_string(test.v_type), shape_->head_dim);
  if (k.ok() && v.ok()) shape.kv_element_bytes = (*k + *v) / 2;
  shape.context_tokens = engine_->options().context_tokens;
  shape.most_sequences = engine_->options().max_sequences;
  shape.used_context = used_context_;
  shape.tokens_read = tokens_read_;
  return predict_bench(*shape_, hardware, shape);
}

Result<BenchSample> BenchEngine::sample(const BenchCase& test, const std::vector<SequenceId>& sequences) {
  const CoreStateSample before = sample_core_state(cpus_);
  const CpuTimes cpu_before = CpuTimes::now();
  const auto begin = Clock::now();
  TESSERA_RETURN_IF_ERROR(one_pass(test, sequences));
  BenchSample s;
  s.seconds = seconds_since(begin);
  const CpuTimes cpu_after = CpuTimes::now();
  const CoreStateSample after = sample_core_state(cpus_);
  s.state = combine(before, after);
  s.core_ns = after.one_way_ns;
  s.other_cpu = load_between(cpu_before, cpu_after, s.seconds).others;
  s.limit_fraction = ideal_seconds(test, s.state) / s.seconds;
  return s;
}

Result<BenchResult> BenchEngine::run(const BenchCase& test, const BenchOptions& options) {
  BenchResult result;
  result.test = test;
  result.test.threads = engine_->pool().threads();
  result.model = info_;
  result.time = utc_now();
  result.hardware = machine_.hardware.description;

  std::vector<SequenceId> sequences;
  for (int64_t i = 0; i < test.streams; ++i) sequences.push_back(engine_->states().create_sequence());
  const auto rewind = [&] {
    for (const SequenceId id : sequences) engine_->states().truncate(id, test.depth);
  };
  Status status = fill(sequences, test.depth);
  if (status.ok() && options.warm_up) {
    BenchCase short_test = test;
    short_test.prompt = std::min(test.prompt, engine_->options().batch_tokens);
    short_test.generate = std::min<int64_t>(test.generate, 2);
    status = one_pass(short_test, sequences);
    rewind();
  }
  for (int64_t i = 0; i < options.repetitions && status.ok(); ++i) {
    auto taken = sample(test, sequences);
    if (taken.ok()) result.samples.push_back(*taken);
    status = taken.status();
    rewind();
  }
  for (const SequenceId id : sequences) engine_->states().free_sequence(id);
  // Interrupted: the samples that were taken are a result.
  const bool cut_short = status.code() == StatusCode::kCancelled && !result.samples.empty();
  if (!status.ok() && !cut_short) return status.with_context(test.test_name());
  result.peak_resident_bytes = peak_resident_bytes();
  result.context_tokens = engine_->options().context_tokens;
  result.most_sequences = engine_->options().max_sequences;
  result.tokens_read = tokens_read_;
  used_context_ = std::max(used_context_, test.context());
  result.used_context = used_context_;
  result.prediction = predict(result.test, usual_state(result.samples));
  return result;
}

}  // namespace tessera
