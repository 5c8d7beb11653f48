// What one test of `tessera bench` measured.
#ifndef TESSERA_CLI_BENCH_RESULT_H_
#define TESSERA_CLI_BENCH_RESULT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cli/bench_options.h"
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
  std::string path, type;      // "llama 1.1B Q4_0"
  uint64_t size_bytes = 0;     // of all tensors in the file
  int64_t parameters = 0;
  uint64_t packed_bytes = 0;   // read per decoded token
  double load_seconds = 0;
};

struct BenchResult {
  BenchCase test;              // with defaults filled in
  BenchModelInfo model;
  std::string time;            // start, ISO 8601 UTC
  std::vector<BenchSample> samples;
  uint64_t peak_resident_bytes = 0;

  int64_t tokens() const { return test.prompt + test.generate * test.streams; }
  std::vector<double> tokens_per_second() const {
    std::vector<double> rates;
    for (const BenchSample& s : samples) rates.push_back(static_cast<double>(tokens()) / s.seconds);
    return rates;
  }
};

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_RESULT_H_
