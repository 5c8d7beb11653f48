// Bench results in llama-bench's formats, so that scripts that read its JSON, CSV or SQL read ours: its field names first,
// ours after them (docs/benchmarking.md lists both).
#ifndef TESSERA_CLI_BENCH_OUTPUT_H_
#define TESSERA_CLI_BENCH_OUTPUT_H_

#include <nlohmann/json_fwd.hpp>

#include <span>
#include <string>

#include "cli/bench_options.h"
#include "cli/bench_result.h"

namespace tessera {

// One flat record; the order of the fields is llama-bench's.
nlohmann::ordered_json bench_record(const BenchResult& result);

// Text printed before the first result, for each, and after the last.
class BenchPrinter {
 public:
  explicit BenchPrinter(BenchFormat format) : format_(format) {}
  std::string begin() const;
  std::string result(const BenchResult& result);
  std::string end() const;

 private:
  BenchFormat format_;
  bool first_ = true;
  // What the notes below a table explain.
  bool above_limit_ = false, in_cache_ = false, uncalibrated_ = false;
};

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_OUTPUT_H_
