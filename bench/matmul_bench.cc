// matmul_bench: linear() on the shapes of a model, as a fraction of what the machine can do in the same run.
//
//   matmul_bench [-t THREADS] [-r REPEATS] [-n TOKENS,...] [-d TYPES,...] [-s ROWSxCOLS,...] [-c MIB]
//
// Few tokens are judged by bytes of packed weights per second against the read bandwidth, many tokens by operations per
// second against the peak of the weight type's instruction; both limits are the loops of `tessera probe`. Weights of one
// type and shape are copied until they exceed the last-level cache, and one repeat walks over all copies. The core-to-core
// time before and after tells which placement two virtual processors were in (far placements read memory faster).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "kernels/kernels.h"
#include "kernels/packed_codec.h"
#include "ops/linear.h"
#include "probe/core_latency.h"
#include "probe/limits_now.h"
#include "probe/machine.h"

namespace tessera::bench {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Spread {
  double median, low, high;
};
Spread spread(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return {v[v.size() / 2], v.front(), v.back()};
}

double core_to_core_ns() {
  static const std::vector<int> cpus = machine_info().cpus;
  return sample_core_state(cpus).one_way_ns;
}

// The peak of the instruction that a weight type is multiplied with.
PeakType peak_of(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 ? PeakType::kF32
         : dtype == DType::kBF16                      ? PeakType::kBF16
                                                      : PeakType::kI8;
}

struct Shape {
  int64_t rows, cols;
};

struct Options {
  int threads = 0;
  int repeats = 7;
  uint64_t beyond_cache_bytes = 160u << 20;  // -c 0: one copy, read over and over from the cache that holds it
  std::vector<int64_t> tokens = {1, 512};
  std::vector<DType> types = {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kBF16};
  std::vector<Shape> shapes = {{2048, 2048}, {5632, 2048}, {2048, 5632}, {32000, 2048}};
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(',', begin)) != std::string::npos; begin = end + 1) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "-t") o.threads = std::atoi(value.c_str());
    if (flag == "-c") o.beyond_cache_bytes = std::strtoull(value.c_str(), nullptr, 10) << 20;
    if (flag == "-r") o.repeats = std::max(1, std::atoi(value.c_str()));
    if (flag == "-n") {
      o.tokens.clear();
      for (const auto& part : split(value)) o.tokens.push_back(std::atoll(part.c_str()));
    }
    if (flag == "-d") {
      o.types.clear();
      for (const auto& part : split(value)) {
        if (const auto type = dtype_from_name(part)) o.types.push_back(*type);
      }
    }
    if (flag == "-s") {
      o.shapes.clear();
      for (const auto& part : split(value)) {
        o.shapes.push_back({std::atoll(part.c_str()), std::atoll(part.c_str() + part.find('x') + 1)});
      }
    }
  }
  return o;
}

// Bytes that are a small positive number as f16, bf16 and f32, whatever field they fall into.
std::vector<std::byte> random_bytes(uint64_t count) {
  std::vector<std::byte> bytes(count);
  uint32_t state = 1;
  for (auto& b : bytes) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(0x20 | (state >> 27));
  }
  return bytes;
}

Linear pack(DType dtype, Shape shape, const std::vector<std::byte>& stored, ThreadPool& pool) {
  const uint64_t bytes = *row_bytes(dtype, static_cast<uint64_t>(shape.cols));
  auto linear = Linear::pack({dtype, shape.rows, shape.cols,
                              [&](int64_t begin, int64_t, FunctionRef<void(const std::byte*)> use) {
                                use(stored.data() + static_cast<uint64_t>(begin) * bytes);
                              }},
                             pool);
  return *std::move(linear);
}

void bench_one(ThreadPool& pool, const Options& options, const AlignedBytes& data, DType dtype, Shape shape) {
  std::vector<Linear> weights;
  uint64_t bytes = 0;
  const auto stored =
      random_bytes(*row_bytes(dtype, static_cast<uint64_t>(shape.cols)) * static_cast<uint64_t>(shape.rows));
  do {
    weights.push_back(pack(dtype, shape, stored, pool));
    bytes += weights.back().packed_bytes();
  } while (bytes < options.beyond_cache_bytes && weights.size() < 40);
  Arena arena;
  OpContext ctx{pool, arena};
  for (int64_t tokens : options.tokens) {
    std::vector<float> x(static_cast<size_t>(tokens * shape.cols)), y(static_cast<size_t>(tokens * shape.rows));
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    // Many tokens: a few matrices are enough, they are not what bounds the speed.
    const size_t used = tokens < 32 ? weights.size() : std::min<size_t>(weights.size(), 2);
    // The limit is measured next to every repeat: on a shared machine both change from second to second.
    std::vector<double> seconds, fractions;
    for (int r = 0; r < options.repeats + 1; ++r) {
      const double limit = tokens < 32 ? read_gb_per_s(pool, data) : peak_gops(pool, peak_of(dtype), 60000);
      const auto walk = [&](size_t times) {
        for (size_t i = 0; i < times; ++i) {
          arena.reset();
          LinearInput input(ctx, {x.data(), tokens, shape.cols});
          linear(ctx, weights[i % used], input, {y.data(), tokens, shape.rows});
        }
      };
      const bool cached = options.beyond_cache_bytes == 0 && tokens < 32;
      if (cached) walk(2);
      const size_t times = cached ? 50 : used;
      const auto start = Clock::now();
      walk(times);
      const double each = since(start) / static_cast<double>(times);
      const double work = tokens < 32 ? static_cast<double>(weights[0].packed_bytes())
                                      : 2.0 * static_cast<double>(tokens * shape.rows * shape.cols);
      if (r == 0) continue;
      seconds.push_back(each);
      fractions.push_back(100 * work / each / 1e9 / limit);
    }
    const Spread s = spread(seconds), f = spread(fractions);
    std::printf("%-7s %6ldx%-5ld %5ld %9.1f us (%.1f-%.1f) %6.1f GB/s %7.0f GOP/s  %5.1f%% of %s (%.1f-%.1f)\n",
                std::string(to_string(dtype)).c_str(), static_cast<long>(shape.rows), static_cast<long>(shape.cols),
                static_cast<long>(tokens), s.median * 1e6, s.low * 1e6, s.high * 1e6,
                static_cast<double>(weights[0].packed_bytes()) / s.median / 1e9,
                2.0 * static_cast<double>(tokens * shape.rows * shape.cols) / s.median / 1e9, f.median,
                tokens < 32 ? "read" : "peak", f.low, f.high);
  }
}

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  ThreadPool pool(options.threads);
  AlignedBytes data(128u << 20);
  std::memset(data.data(), 1, data.size());
  const auto report = [&](const char* when) {
    std::printf("%s: core to core %.0f ns  read %.1f GB/s  int8 %.0f  bf16 %.0f  f32 %.0f GOP/s\n", when, core_to_core_ns(),
                read_gb_per_s(pool, data), peak_gops(pool, PeakType::kI8, 1000000), peak_gops(pool, PeakType::kBF16, 1000000),
                peak_gops(pool, PeakType::kF32, 1000000));
  };
  std::printf("%d threads\n", pool.threads());
  report("before");
  for (DType dtype : options.types) {
    for (const Shape& shape : options.shapes) bench_one(pool, options, data, dtype, shape);
  }
  report("after");
  return 0;
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) { return tessera::bench::run(argc, argv); }
