// `tessera bench compare A.json B.json`: pairs the tests of two result files (JSON or JSON lines, ours or llama-bench's)
// and says for each whether B differs from A by more than chance.
#ifndef TESSERA_CLI_BENCH_COMPARE_H_
#define TESSERA_CLI_BENCH_COMPARE_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tessera {

enum class SignificanceTest { kMannWhitney, kWelch };

struct CompareOptions {
  SignificanceTest test = SignificanceTest::kMannWhitney;
  double alpha = 0.05;          // p below it is called a difference
  double threshold = 0.0;       // ratios within 1 +- threshold are never called one
};

// What identifies a test, and its samples.
struct BenchSeries {
  std::string model, test;
  int64_t threads = 0;
  int64_t batch = 0;  // tokens of a forward pass; 0: not told
  std::string weights = "stored", cache_types;
  std::vector<double> tokens_per_second;

  std::string key() const;  // all but the batch: engines have different defaults
};

struct Comparison {
  BenchSeries a, b;
  double ratio = 0;    // median of B / median of A
  double p_value = 1;
  enum class Verdict { kSame, kFaster, kSlower, kTooFew } verdict = Verdict::kSame;
};

// Errors name the record and the field.
Result<std::vector<BenchSeries>> read_series(std::string_view text);

// In A's order; tests with no partner are left out. Several records with the same key and batch are pooled. A partner has the
// same batch or, where neither side has the test with more than one, any.
std::vector<Comparison> compare_series(std::span<const BenchSeries> a, std::span<const BenchSeries> b,
                                       const CompareOptions& options);

std::string comparison_table(std::span<const Comparison> comparisons, const CompareOptions& options);

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_COMPARE_H_
