#include "cli/bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "cli/bench_output.h"
#include "cli/bench_run.h"
#include "cli/console.h"
#include "cli/probe.h"
#include "formats/text.h"

namespace tessera {
namespace {

void print(std::FILE* file, const std::string& text) {
  std::fputs(text.c_str(), file);
  std::fflush(file);
}

// Without a probe there is no fraction of the limits; a damaged file is an error all the same.
Result<std::optional<ProbeReport>> probe_for(const BenchOptions& options) {
  auto report = load_probe(options.probe_path.empty() ? probed_hardware_path() : options.probe_path);
  if (report.ok()) return std::optional(*std::move(report));
  if (report.status().code() == StatusCode::kNotFound && options.probe_path.empty()) return std::optional<ProbeReport>();
  return report.status();
}

// What predictions come from: --hardware, else the file of --probe, else what `tessera probe` left, else an estimate.
Result<BenchMachine> machine_for(const BenchOptions& options) {
  BenchMachine machine;
  TESSERA_ASSIGN_OR_RETURN(machine.probe, probe_for(options));
  TESSERA_ASSIGN_OR_RETURN(machine.hardware, find_hardware(!options.hardware.empty() ? options.hardware : options.probe_path));
  machine.probed = options.hardware.empty();
  return machine;
}

}  // namespace

Status run_bench(const BenchOptions& options) {
  const std::vector<BenchCase> cases = expand_cases(options);
  if (cases.empty()) return invalid_argument("-p, -n and -pg: nothing to measure, all are zero");
  TESSERA_ASSIGN_OR_RETURN(const BenchMachine machine, machine_for(options));
  BenchPrinter out(options.output), err(options.error_output);
  const auto failed = [&](const Status& status, bool begun) {
    if (begun) print(stdout, out.end()), print(stderr, err.end());  // what was measured stays a whole file
    return status;
  };
  std::optional<BenchEngine> engine;
  for (size_t i = 0; i < cases.size(); ++i) {
    if (i == 0 || !cases[i].same_engine(cases[i - 1])) {
      int64_t context = 0, streams = 1;
      for (size_t k = i; k < cases.size() && cases[k].same_engine(cases[i]); ++k) {
        context = std::max(context, cases[k].context());
        streams = std::max(streams, cases[k].streams);
      }
      engine.reset();  // two models at once may not fit
      auto opened = BenchEngine::open(cases[i], context, streams, machine);
      if (!opened.ok()) return failed(opened.status(), i > 0);
      engine = *std::move(opened);
    }
    if (i == 0) print(stdout, out.begin()), print(stderr, err.begin());
    if (options.delay_seconds > 0) std::this_thread::sleep_for(std::chrono::seconds(options.delay_seconds));
    const Result<BenchResult> result = engine->run(cases[i], options);
    if (!result.ok()) return failed(result.status(), true);
    print(stdout, out.result(*result));
    print(stderr, err.result(*result));
    if (const Status status = not_interrupted(); !status.ok()) return failed(status, true);
  }
  print(stdout, out.end());
  print(stderr, err.end());
  return {};
}

Status run_bench_compare(const std::string& path_a, const std::string& path_b, const CompareOptions& options,
                         bool fail_if_slower) {
  std::vector<BenchSeries> series[2];
  for (int i = 0; i < 2; ++i) {
    const std::string& path = i == 0 ? path_a : path_b;
    TESSERA_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
    auto read = read_series(text);
    if (!read.ok()) return read.status().with_context(path);
    series[i] = *std::move(read);
  }
  const std::vector<Comparison> comparisons = compare_series(series[0], series[1], options);
  if (comparisons.empty()) {
    return not_found("no test is in both files: {} in {}, {} in {}", series[0].size(), path_a, series[1].size(), path_b);
  }
  print(stdout, printable(comparison_table(comparisons, options), NewLines::kKeep));
  const auto slower = std::ranges::count_if(comparisons, [](const Comparison& c) {
    return c.verdict == Comparison::Verdict::kSlower;
  });
  if (fail_if_slower && slower > 0) return invalid_argument("{} of {} tests became slower", slower, comparisons.size());
  return {};
}

}  // namespace tessera
