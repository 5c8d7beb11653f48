// Workload: requests with arrival times, prompt and output lengths, drawn from distributions or read from a trace file.
#ifndef TESSERA_PLANNER_WORKLOAD_H_
#define TESSERA_PLANNER_WORKLOAD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tessera {

struct RequestSpec {
  double arrival = 0;  // seconds
  int32_t prompt_tokens = 0;
  int32_t output_tokens = 0;
};

// "128", "uniform:16-512", "exp:200" (mean), "lognormal:300,0.8" (median, sigma of the logarithm). Values are clamped
// to [1, 1e6].
struct LengthDistribution {
  enum class Kind { kFixed, kUniform, kExponential, kLogNormal } kind = Kind::kFixed;
  double a = 1, b = 0;
};
Result<LengthDistribution> parse_length_distribution(std::string_view text);

struct WorkloadSpec {
  double requests_per_second = 1;  // Poisson
  int64_t requests = 1000;
  LengthDistribution prompt, output;
  uint64_t seed = 1;
};
std::vector<RequestSpec> poisson_workload(const WorkloadSpec& spec);

// A trace: one request a line, "seconds,prompt,output" (commas or spaces; # starts a comment, a header line is
// skipped). Sorted by arrival on return.
Result<std::vector<RequestSpec>> parse_trace(std::string_view text, std::string_view where);

}  // namespace tessera

#endif  // TESSERA_PLANNER_WORKLOAD_H_
