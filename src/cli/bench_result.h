// What one test of `tessera bench` measured.
#ifndef TESSERA_CLI_BENCH_RESULT_H_
#define TESSERA_CLI_BENCH_RESULT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench_options.h"
#include "planner/measured.h"
#include "probe/core_latency.h"

namespace tessera {

struct BenchSample {
  double seconds = 0;
  CoreState state = CoreState::kUnknown;
  double core_ns = 0;     // one-way core-to-core time after the sample
  double other_cpu = 0;   // processors that other programs kept busy meanwhile
  double limit_fraction = 0;  // ideal time / measured time; 0 without a probe
};

struct BenchModelInfo {
  std::string path, type;      // "llama 1.1B Q4_0", "llama 1.1B BF16 as W8"
  std::string weight_type;     // in memory, of most of the weight bytes
  uint64_t size_bytes = 0;     // of all tensors in the file
  int64_t parameters = 0;
  uint64_t packed_bytes = 0;   // read per decoded token
  uint64_t fingerprint = 0;    // model_fingerprint()
  double load_seconds = 0;
  bool in_cache = false;       // packed_bytes fit into the last-level cache
};

struct BenchResult {
  BenchCase test;              // with defaults filled in
  BenchModelInfo model;
  std::string time;            // start, ISO 8601 UTC
  std::vector<BenchSample> samples;
  uint64_t peak_resident_bytes = 0;  // since the model began to load
  int64_t context_tokens = 0, most_sequences = 0;  // that the engine reserved
  int64_t used_context = 0;                        // of the largest test on it so far
  int64_t tokens_read = 0;                         // by the engine, with this test
  std::string hardware;        // description that the prediction comes from
  BenchPrediction prediction;  // of the whole test; seconds == 0: none

  int64_t tokens() const { return test.prompt + test.generate * test.streams; }
  std::vector<double> tokens_per_second() const {
    std::vector<double> rates;
    for (const BenchSample& s : samples) rates.push_back(static_cast<double>(tokens()) / s.seconds);
    return rates;
  }
  double predicted_tokens_per_second() const {
    return prediction.seconds > 0 ? static_cast<double>(tokens()) / prediction.seconds : 0;
  }
};

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_RESULT_H_
