// `tessera bench`: runs every combination of the options and prints the results as they come.
#ifndef TESSERA_CLI_BENCH_H_
#define TESSERA_CLI_BENCH_H_

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/bench_compare.h"
#include "cli/bench_options.h"

namespace tessera {

// To stdout in options.output, to stderr in options.error_output. Stops at the first test that cannot run.
Status run_bench(const BenchOptions& options);

// Prints the table. kInvalidArgument, after printing, when `fail_if_slower` and a test became slower.
Status run_bench_compare(const std::string& path_a, const std::string& path_b, const CompareOptions& options,
                         bool fail_if_slower);

}  // namespace tessera

#endif  // TESSERA_CLI_BENCH_H_
