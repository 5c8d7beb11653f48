// Runs one test of `tessera bench` on an engine: repeated forward passes over random tokens, without tokenizer and
// sampling (as llama-bench measures). Each sample carries what is needed to judge it: the core-to-core state around it,
// the processor time that other programs took meanwhile, and how far it was from the machine's limits. Each result carries
// what the planner expects of the test.
#ifndef TESSERA_CLI_BENCH_RUN_H_
#define TESSERA_CLI_BENCH_RUN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/bench_options.h"
#include "cli/bench_result.h"
#include "planner/measured.h"
#include "probe/probe.h"
#include "runtime/engine.h"

namespace tessera {

// What measured times are compared with.
struct BenchMachine {
  std::optional<ProbeReport> probe;  // limits; none: no fraction of them
  HardwareSpec hardware;             // predictions
  bool probed = false;               // the description is the probe's: it has rates by core state
};

class BenchEngine {
 public:
  // `most`: the largest context and number of streams of the tests to come.
  static Result<BenchEngine> open(const BenchCase& config, int64_t context, int64_t streams, BenchMachine machine);
  Result<BenchResult> run(const BenchCase& test, const BenchOptions& options);

 private:
  BenchEngine() = default;
  Status fill(const std::vector<SequenceId>& sequences, int64_t tokens);
  Status prompt_pass(SequenceId sequence, int64_t tokens);
  Status generate_pass(const std::vector<SequenceId>& sequences, int64_t tokens);
  Status one_pass(const BenchCase& test, const std::vector<SequenceId>& sequences);
  Result<BenchSample> sample(const BenchCase& test, const std::vector<SequenceId>& sequences);
  double ideal_seconds(const BenchCase& test, CoreState state) const;
  BenchPrediction predict(const BenchCase& test, CoreState state) const;

  std::unique_ptr<Engine> engine_;
  BenchModelInfo info_;
  DType main_dtype_ = DType::kF16;  // of most of the weight bytes
  std::optional<ModelShape> shape_;  // none: the planner does not know this kind of model
  BenchMachine machine_;
  std::vector<int> cpus_;
  uint64_t random_ = 1;
  std::vector<int32_t> tokens_;
  int64_t tokens_read_ = 0, used_context_ = 0;
};

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_RUN_H_
