#include "cli/bench_run.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <map>
#include <utility>

#include "formats/checkpoint.h"

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

// Seconds of processor time used since boot by everybody (user, nice, system, interrupts) and by this process.
struct CpuTimes {
  double everybody = 0, own = 0;

  static CpuTimes now() {
    CpuTimes t;
    std::ifstream stat("/proc/stat");
    std::string label;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0;
    if (stat >> label >> user >> nice >> system >> idle >> wait >> irq >> soft) {
      t.everybody = (user + nice + system + irq + soft) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& v) { return static_cast<double>(v.tv_sec) + 1e-6 * static_cast<double>(v.tv_usec); };
    t.own = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    return t;
  }
};

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string parameter_text(int64_t parameters) {
  const auto p = static_cast<double>(parameters);
  return p >= 1e9 ? fmt::format("{:.1f}B", p * 1e-9) : fmt::format("{:.1f}M", p * 1e-6);
}

// general.file_type of published files; mixes have no single tensor type.
std::string file_type_name(const Metadata& metadata, DType main_dtype) {
  static const std::map<uint64_t, const char*> kNames = {{12, "Q3_K - Medium"}, {13, "Q3_K - Large"}, {11, "Q3_K - Small"},
                                                         {14, "Q4_K - Small"},  {15, "Q4_K - Medium"}, {16, "Q5_K - Small"},
                                                         {17, "Q5_K - Medium"}};
  if (const auto id = metadata.u64("general.file_type"); id.ok()) {
    if (const auto it = kNames.find(*id); it != kNames.end()) return it->second;
  }
  return upper(to_string(main_dtype));
}

DType dominant_dtype(const WeightSource& weights) {
  std::map<DType, uint64_t> bytes;
  for (const WeightInfo& w : weights.weights()) bytes[w.dtype] += w.bytes;
  DType best = DType::kF32;
  for (const auto& [dtype, n] : bytes) {
    if (bytes.find(best) == bytes.end() || n > bytes[best]) best = dtype;
  }
  return best;
}

}  // namespace

Result<BenchEngine> BenchEngine::open(const BenchCase& config, int64_t context, int64_t streams,
                                      std::optional<ProbeReport> probe) {
  BenchEngine bench;
  bench.probe_ = std::move(probe);
  bench.cpus_ = machine_info().cpus;
  const auto begin = Clock::now();
  TESSERA_ASSIGN_OR_RETURN(Checkpoint checkpoint, open_checkpoint(config.model));
  bench.main_dtype_ = dominant_dtype(*checkpoint.weights);
  bench.info_.path = config.model;
  for (const WeightInfo& w : checkpoint.weights->weights()) {
    bench.info_.size_bytes += w.bytes;
    bench.info_.parameters += w.shape.elements();
  }
  const std::string file_type = file_type_name(checkpoint.metadata, bench.main_dtype_);

  EngineOptions options;
  options.threads = static_cast<int>(config.threads);
  options.context_tokens = context;
  options.max_sequences = streams;
  options.batch_tokens = config.batch;
  options.k_dtype = config.k_type;
  options.v_dtype = config.v_type;
  TESSERA_ASSIGN_OR_RETURN(bench.engine_, Engine::create(std::move(checkpoint), options,
                                                         [](uint64_t, uint64_t) { return true; }));
  bench.info_.load_seconds = seconds_since(begin);
  bench.info_.packed_bytes = bench.engine_->model().weight_bytes();
  bench.info_.type =
      fmt::format("{} {} {}", bench.engine_->spec().architecture, parameter_text(bench.info_.parameters), file_type);
  return bench;
}

Status BenchEngine::prompt_pass(SequenceId sequence, int64_t tokens) {
  tokens_.resize(engine_->options().batch_tokens);
  for (int64_t done = 0; done < tokens;) {
    const int64_t n = std::min<int64_t>(tokens - done, engine_->options().batch_tokens);
    for (int64_t i = 0; i < n; ++i) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      tokens_[i] = static_cast<int32_t>((random_ >> 33) % static_cast<uint64_t>(engine_->spec().vocab));
    }
    const Engine::Append item{sequence, std::span<const int32_t>(tokens_).first(n)};
    TESSERA_RETURN_IF_ERROR(engine_->append({&item, 1}, [](int64_t, int64_t, std::span<float>) {}));
    done += n;
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
    for (int32_t& token : next) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      token = static_cast<int32_t>((random_ >> 33) % static_cast<uint64_t>(engine_->spec().vocab));
    }
    TESSERA_RETURN_IF_ERROR(engine_->append(items, [](int64_t, int64_t, std::span<float>) {}));
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
  if (!probe_) return 0;
  const MachineLimits limits = limits_of(*probe_, engine_->pool().threads());
  double bandwidth = limits.read_gb_per_s;
  if (state == CoreState::kNear && limits.read_near_gb_per_s > 0) bandwidth = limits.read_near_gb_per_s;
  if (state == CoreState::kFar && limits.read_far_gb_per_s > 0) bandwidth = limits.read_far_gb_per_s;
  double rate = limits.f32_gops;
  if (main_dtype_ != DType::kF32 && limits.bf16_gops > 0) rate = limits.bf16_gops;
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
  const double others = (cpu_after.everybody - cpu_before.everybody) - (cpu_after.own - cpu_before.own);
  s.other_cpu = std::max(0.0, others / s.seconds);
  s.limit_fraction = ideal_seconds(test, s.state) / s.seconds;
  return s;
}

Result<BenchResult> BenchEngine::run(const BenchCase& test, const BenchOptions& options) {
  BenchResult result;
  result.test = test;
  result.test.threads = engine_->pool().threads();
  result.model = info_;
  result.time = utc_now();

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
  if (!status.ok()) return status.with_context(test.test_name());
  result.peak_resident_bytes = peak_resident_bytes();
  return result;
}

}  // namespace tessera
