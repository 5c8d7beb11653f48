#include <CLI/CLI.hpp>
#include <memory>

#include "cli/probe.h"
#include "cli/verb.h"

namespace tessera {

void add_probe_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("probe", "Measure this machine's limits, for plan and bench");
  const auto options = std::make_shared<ProbeVerbOptions>();
  const auto state_only = std::make_shared<bool>(false), limits_only = std::make_shared<bool>(false);
  verb->add_option("-t,--threads", options->probe.threads, "Most threads (processors this process may use)")
      ->check(CLI::Range(1, 1024));
  verb->add_option("-r,--repetitions", options->probe.repetitions, "Samples of each measurement")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_option("-o,--output", options->output, "Hardware description to write (~/.config/tessera/hardware.json)");
  verb->add_flag("--json", options->json, "Print the measurements as JSON");
  verb->add_flag("--state", *state_only, "Only print the core-to-core state, in some milliseconds");
  verb->add_flag("--limits", *limits_only, "Only print read bandwidth and peaks of this moment, in half a second");
  verb->footer(
      "Run it on a quiet machine; it takes about 5 seconds on two cores.\n\n"
      "Examples:\n"
      "  tessera probe\n"
      "  tessera probe --state                  near or far: do the processors share a cache?\n"
      "  tessera probe --limits                 beside a measurement: what was possible in these seconds?");
  verb->callback([=] {
    run([&]() -> Status {
      if (*limits_only) return print_limits_now(options->probe.threads);
      return *state_only ? print_core_state() : run_probe(*options);
    });
  });
}

}  // namespace tessera
