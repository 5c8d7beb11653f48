#include "probe/kernel_rates.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "base/arena.h"
#include "base/thread_pool.h"
#include "ops/linear.h"
#include "probe/statistics.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kCols = 2048;
constexpr int64_t kPatternRows = 8;    // packed once and repeated: packing K-quants is slow
constexpr int64_t kPrefillRows = 512;
constexpr int64_t kPrefillOutputs = 4096;
constexpr DType kTypes[] = {DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_K, DType::kQ6_K,
                               DType::kW8};

std::vector<float> random_values(int64_t count, float stddev) {
  std::mt19937 engine(1);
  std::normal_distribution<float> gaussian(0, stddev);
  std::vector<float> values(count);
  for (float& v : values) v = gaussian(engine);
  return values;
}

Result<Linear> random_linear(DType dtype, int64_t rows, ThreadPool& pool) {
  const BlockFormat* format = block_format(dtype);
  if (format == nullptr || format->pack == nullptr) return unsupported("cannot write {}", to_string(dtype));
  const uint64_t stride = *row_bytes(dtype, kCols);
  const std::vector<float> values = random_values(kPatternRows * kCols, 0.02f);
  std::vector<std::byte> pattern(kPatternRows * stride);
  for (int64_t r = 0; r < kPatternRows; ++r) format->pack(values.data() + r * kCols, nullptr, pattern.data() + r * stride, kCols);
  const auto read_rows = [&](int64_t begin, int64_t end, FunctionRef<void(const std::byte*)> use) {
    std::vector<std::byte> bytes((end - begin) * stride);
    for (int64_t r = begin; r < end; ++r) {
      std::copy_n(pattern.data() + r % kPatternRows * stride, stride, bytes.data() + (r - begin) * stride);
    }
    use(bytes.data());
  };
  return Linear::pack({dtype, rows, kCols, read_rows}, pool);
}

class LinearTimer {
 public:
  explicit LinearTimer(ThreadPool& pool) : pool_(pool) {}

  // Seconds of y = W x over `rows` rows of x.
  double run(const Linear& w, int64_t rows) {
    arena_.reset();
    OpContext ctx{pool_, arena_};
    const Rows<float> x = ctx.scratch(rows, kCols), y = ctx.scratch(rows, w.rows());
    std::copy_n(inputs_.data(), rows * kCols, x.data);
    const auto begin = Clock::now();
    LinearInput input(ctx, x);
    linear(ctx, w, input, y);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  std::vector<double> repeat(const Linear& w, int64_t rows, int repetitions) {
    (void)run(w, rows);
    std::vector<double> seconds;
    for (int i = 0; i < repetitions; ++i) seconds.push_back(run(w, rows));
    return seconds;
  }

 private:
  ThreadPool& pool_;
  Arena arena_;
  std::vector<float> inputs_ = random_values(kPrefillRows * kCols, 1.0f);
};

// Where the rate over row counts first passes `half`, interpolated on a logarithmic scale.
double rows_at_half(LinearTimer& timer, const Linear& w, double operations_per_row, double half, int repetitions) {
  double previous_rows = 0, previous_rate = 0;
  for (const int64_t rows : {1, 2, 4, 8, 16, 32, 64}) {
    const double seconds = quantile(timer.repeat(w, rows, repetitions), 0.5);
    const double rate = operations_per_row * static_cast<double>(rows) / seconds * 1e-9;
    if (rate >= half) {
      if (previous_rate <= 0) return static_cast<double>(rows);
      const double part = (half - previous_rate) / (rate - previous_rate);
      return std::exp2(std::log2(previous_rows) + part * std::log2(static_cast<double>(rows) / previous_rows));
    }
    previous_rows = static_cast<double>(rows);
    previous_rate = rate;
  }
  return 0;
}

}  // namespace

std::span<const DType> probed_weight_types() { return kTypes; }

Result<KernelRateResult> measure_kernel_rate(DType dtype, const KernelRateOptions& options) {
  ThreadPool pool(options.threads);
  LinearTimer timer(pool);
  KernelRateResult result{dtype, pool.threads(), {}, {}, 0};
  const auto rows = std::max<int64_t>(kPrefillOutputs, static_cast<int64_t>(options.weight_bytes / *row_bytes(dtype, kCols)));
  {
    TESSERA_ASSIGN_OR_RETURN(const Linear large, random_linear(dtype, rows, pool));
    const double bytes = static_cast<double>(*row_bytes(dtype, kCols)) * static_cast<double>(rows);
    const std::vector<int> cpus = machine_info().cpus;
    (void)timer.run(large, 1);
    CoreStateSample before = sample_core_state(cpus);
    for (int i = 0; i < options.repetitions; ++i) {
      const double rate = bytes / timer.run(large, 1) * 1e-9;
      const CoreStateSample after = sample_core_state(cpus);
      result.decode_gb_per_s.push_back({rate, combine(before, after)});
      before = after;
    }
  }
  TESSERA_ASSIGN_OR_RETURN(const Linear small, random_linear(dtype, kPrefillOutputs, pool));
  const double operations_per_row = 2.0 * kCols * kPrefillOutputs;
  for (const double s : timer.repeat(small, kPrefillRows, options.repetitions)) {
    result.prefill_gops.push_back(operations_per_row * kPrefillRows / s * 1e-9);
  }
  const double half = quantile(result.prefill_gops, 0.5) / 2;
  result.half_rate_rows = rows_at_half(timer, small, operations_per_row, half, options.repetitions);
  return result;
}

}  // namespace tessera
