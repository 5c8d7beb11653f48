// Options of `tessera bench` in llama-bench's dialect: every option takes comma lists and may be repeated; whole numbers
// also take ranges: "1-4", "128-512+128", "1-32*2". All combinations are measured.
#ifndef TESSERA_CLI_BENCH_OPTIONS_H_
#define TESSERA_CLI_BENCH_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tessera {

enum class BenchFormat { kNone, kMarkdown, kCsv, kJson, kJsonLines, kSql };
Result<BenchFormat> parse_bench_format(std::string_view name);  // none md csv json jsonl sql

struct BenchOptions {
  std::vector<std::string> models;
  std::vector<int64_t> prompt_tokens = {512};
  std::vector<int64_t> generate_tokens = {128};
  std::vector<std::pair<int64_t, int64_t>> prompt_and_generate;  // -pg
  std::vector<int64_t> depths = {0};
  std::vector<int64_t> streams = {1};  // -npl: sequences decoded together in generation tests
  std::vector<int64_t> batches = {512};
  std::vector<int64_t> threads;  // empty: the default
  std::vector<std::string> weights = {"stored"};  // parse_weights()
  std::vector<DType> k_types = {DType::kBF16}, v_types = {DType::kBF16};
  int64_t repetitions = 5;
  int64_t delay_seconds = 0;
  bool warm_up = true;
  BenchFormat output = BenchFormat::kMarkdown;
  BenchFormat error_output = BenchFormat::kNone;
  std::string probe_path;  // empty: the default hardware description
  std::string hardware;    // for predictions: a shipped name or a file; empty: that of the probe
};

// One test: what is measured with one engine configuration. prompt == 0: generation only.
struct BenchCase {
  std::string model, weights = "stored";
  int64_t threads = 0, batch = 512;
  DType k_type = DType::kBF16, v_type = DType::kBF16;
  int64_t prompt = 0, generate = 0, depth = 0, streams = 1;

  bool same_engine(const BenchCase& o) const {
    return model == o.model && weights == o.weights && threads == o.threads && batch == o.batch && k_type == o.k_type && v_type == o.v_type;
  }
  int64_t context() const { return depth + prompt + generate; }
  std::string test_name() const;  // "pp512", "tg128 @ d4096", "pp512+tg128", "tg32 x 8"
};

// "512,1024", "1-4", "1-32*2". Each value in [low, high]; at most 4096 values in total. `option` is for messages.
Result<std::vector<int64_t>> parse_numbers(std::string_view option, std::string_view text, int64_t low, int64_t high);
Result<std::vector<std::pair<int64_t, int64_t>>> parse_pairs(std::string_view option, std::string_view text);  // "512,128;1,2"
Result<std::vector<DType>> parse_cache_types(std::string_view option, std::string_view text);

Result<std::vector<std::string>> parse_weight_choices(std::string_view text);

// Every combination, ordered so that engines are reused.
std::vector<BenchCase> expand_cases(const BenchOptions& options);

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_OPTIONS_H_
