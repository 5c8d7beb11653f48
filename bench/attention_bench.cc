// attention_bench: time of the attention core alone, against reading the same cache once with plain loads in the same
// run and against the peak multiply-add rate. Shapes default to TinyLlama-1.1B.
//
//   attention_bench [--layers 22] [--heads 32] [--kv-heads 4] [--head-dim 64] [--depth 4096] [--tokens 1] [--sequences
//   1]
//                   [--ctk f16] [--ctv f16] [--threads 0] [--repeat 15]
//
// One sample = all layers, `tokens` new tokens of each sequence behind `depth` cached ones. Samples of attention and of
// plain reading alternate; medians, with minimum and maximum. `spare` is time over reading once.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "attention/part.h"
#include "base/aligned.h"
#include "base/cpu_features.h"
#include "base/math.h"
#include "kernels/kernels.h"
#include "probe/core_latency.h"
#include "probe/loops.h"
#include "probe/machine.h"

namespace tessera {
namespace {

struct Options {
  std::map<std::string, std::string> values = {
      {"layers", "22"},   {"heads", "32"}, {"kv-heads", "4"}, {"head-dim", "64"}, {"depth", "4096"}, {"tokens", "1"},
      {"sequences", "1"}, {"ctk", "f16"},  {"ctv", "f16"},    {"threads", "0"},   {"repeat", "15"}};
  int64_t number(const std::string& name) const { return std::strtoll(values.at(name).c_str(), nullptr, 10); }
  DType type(const std::string& name) const { return dtype_from_name(values.at(name)).value_or(DType::kF16); }
};

double seconds_of(FunctionRef<void()> fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Summary {
  double median, low, high;
};
Summary summarize(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples.front(), samples.back()};
}

// Caches of all layers and sequences, filled with random keys and values; pages of one sequence stand one after the
// other.
struct Cache {
  Cache(const Options& o, int64_t tokens)
      : layout(make_kv_layout(o.type("ctk"), o.type("ctv"), o.number("kv-heads"), o.number("head-dim"))),
        layer_pages(o.number("sequences") * ceil_div(tokens, kPageTokens)),
        memory(static_cast<uint64_t>(o.number("layers") * layer_pages) * layout.page_bytes()) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> x(layout.head_dim * 64);
    for (float& v : x) v = normal(random);
    const AttentionKernels& k = kernels().attention;
    for (int64_t p = 0; p < o.number("layers") * layer_pages; ++p) {
      std::byte* page = memory.data() + static_cast<uint64_t>(p) * layout.page_bytes();
      for (int64_t h = 0; h < layout.kv_heads; ++h) {
        for (int64_t t = 0; t < kPageTokens; ++t) {
          k.store_key[layout.k_type](&x[t * layout.head_dim], layout.head_dim, t, layout.keys(page, h));
          k.store_value[layout.v_type](&x[(t * 7 + h) % 64 * layout.head_dim], layout.head_dim, t,
                                       layout.values(page, h));
        }
      }
    }
    for (int32_t p = 0; p < layer_pages; ++p) page_numbers.push_back(p);
  }
  LayerPages layer(int64_t l) {
    return {memory.data() + static_cast<uint64_t>(l * layer_pages) * layout.page_bytes(), layout.page_bytes()};
  }

  KvLayout layout;
  int64_t layer_pages;
  AlignedBytes memory;
  std::vector<int32_t> page_numbers;
};

// Queries of all sequences against one layer of a cache.
class Runner {
 public:
  Runner(const Options& o, ThreadPool& pool)
      : o_(o), ctx_{pool, arena_}, q_(rows() * q_dim()), out_(q_.size()) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& v : q_) v = normal(random);
  }

  void run(Cache& cache, int64_t layer) {
    const int64_t tokens = o_.number("tokens"), depth = o_.number("depth"), pages = ceil_div(depth + tokens, kPageTokens);
    parts_.clear();
    queries_.clear();
    for (int64_t s = 0; s < o_.number("sequences"); ++s) {
      parts_.push_back({{&cache.layout, cache.layer(layer), std::span(cache.page_numbers).subspan(s * pages, pages)},
                        {}, {1.0f / std::sqrt(static_cast<float>(cache.layout.head_dim)), 0.0f}});
    }
    for (size_t s = 0; s < parts_.size(); ++s) {
      queries_.push_back({static_cast<int64_t>(s) * tokens, tokens, depth, std::span(parts_).subspan(s, 1)});
    }
    arena_.reset();
    attend(ctx_, kernels().attention, queries_, Rows<const float>(q_.data(), rows(), q_dim()),
           Rows<float>(out_.data(), rows(), q_dim()));
  }
  int64_t rows() const { return o_.number("tokens") * o_.number("sequences"); }
  int64_t q_dim() const { return o_.number("heads") * o_.number("head-dim"); }
  const std::vector<float>& out() const { return out_; }

 private:
  const Options& o_;
  Arena arena_;
  OpContext ctx_;
  std::vector<float> q_, out_;
  std::vector<AttentionPart> parts_;
  std::vector<AttentionQueries> queries_;
};

double error_against_f32(Options o, ThreadPool& pool) {
  o.values["layers"] = "1";
  Options exact = o;
  exact.values["ctk"] = exact.values["ctv"] = "f32";
  const int64_t tokens = o.number("depth") + o.number("tokens");
  Cache cache(o, tokens), exact_cache(exact, tokens);
  Runner runner(o, pool), exact_runner(exact, pool);
  runner.run(cache, 0);
  exact_runner.run(exact_cache, 0);
  double difference = 0, size = 0;
  for (size_t i = 0; i < runner.out().size(); ++i) {
    const double x = runner.out()[i], y = exact_runner.out()[i];
    difference += (x - y) * (x - y);
    size += y * y;
  }
  return std::sqrt(difference / size);
}

int run(const Options& o) {
  ThreadPool pool(static_cast<int>(o.number("threads")));
  const int64_t depth = o.number("depth"), tokens = o.number("tokens"), sequences = o.number("sequences");
  const int64_t layers = o.number("layers");
  Cache cache(o, depth + tokens);
  Runner runner(o, pool);
  const auto attend_all = [&] {
    for (int64_t l = 0; l < layers; ++l) runner.run(cache, l);
  };
  const ReadLoop read = best_read_loop(cpu_features());
  const auto read_all = [&] {
    const uint64_t chunk = 256 * 1024;
    const int64_t chunks = static_cast<int64_t>(ceil_div(cache.memory.size(), chunk));
    pool.parallel_for(chunks, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t c = begin; c < end; ++c) {
        const uint64_t at = static_cast<uint64_t>(c) * chunk;
        read(cache.memory.data() + at, std::min(chunk, cache.memory.size() - at) / 1024 * 1024);
      }
    });
  };
  std::vector<double> attend_seconds, read_seconds;
  const MachineInfo machine = machine_info();
  const CoreStateSample before = sample_core_state(machine.cpus);
  attend_all();
  for (int64_t i = 0; i < o.number("repeat"); ++i) {
    read_seconds.push_back(seconds_of(read_all));
    attend_seconds.push_back(seconds_of(attend_all));
  }
  const CoreState state = combine(before, sample_core_state(machine.cpus));
  const Summary a = summarize(attend_seconds), r = summarize(read_seconds);
  const double bytes = static_cast<double>(cache.memory.size());
  const double pairs = static_cast<double>(tokens) * (static_cast<double>(depth) + static_cast<double>(tokens + 1) / 2);
  const double flops = 4.0 * pairs * static_cast<double>(runner.q_dim() * layers * sequences);
  fmt::print("{}/{}x{} layers {} depth {} tokens {} sequences {} {}/{} threads {} cores {}\n", o.values.at("heads"),
             o.values.at("kv-heads"), o.values.at("head-dim"), layers, depth, tokens, sequences, o.values.at("ctk"),
             o.values.at("ctv"), pool.threads(), to_string(state));
  fmt::print("  attention {:8.3f} ms ({:.3f}-{:.3f})  {:6.1f} GFLOP/s  {:5.1f} GB/s\n", a.median * 1e3, a.low * 1e3,
             a.high * 1e3, flops / a.median / 1e9, bytes / a.median / 1e9);
  fmt::print(
      "  read once {:8.3f} ms ({:.3f}-{:.3f})  {:.1f} MB, {:.1f} GB/s; attention / read = {:.2f} (minima {:.2f})\n",
      r.median * 1e3, r.low * 1e3, r.high * 1e3, bytes / 1e6, bytes / r.median / 1e9, a.median / r.median,
      a.low / r.low);
  fmt::print("  error     {:8.2e}\n", error_against_f32(o, pool));
  return 0;
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  tessera::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = std::string(argv[i]).substr(0, 2) == "--" ? std::string(argv[i]).substr(2) : "";
    if (!options.values.contains(name)) {
      fmt::print(stderr, "attention_bench: unknown option {}\n", argv[i]);
      return 1;
    }
    options.values[name] = argv[i + 1];
  }
  return tessera::run(options);
}
