#include <CLI/CLI.hpp>
#include <memory>

#include "cli/plan.h"
#include "cli/verb.h"

namespace tessera {

void add_plan_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("plan", "Say whether a model fits, how fast it will be and how to split it");
  const auto command = std::make_shared<PlanCommand>();
  add_plan_options(verb, command.get());
  verb->footer(
      "Examples:\n"
      "  tessera plan model.gguf                                        on this machine, as probed\n"
      "  tessera plan llama-3-70b --hardware h100 --max-per-token 0.02  the cheapest balance\n"
      "  tessera plan llama-3-8b --hardware epyc-9654 --max-chips 8     how many machines\n"
      "  tessera plan llama-3-8b --serve 8080                           a page: http://127.0.0.1:8080/plan\n"
      "  tessera plan --list");
  verb->callback([=] { run([&] { return run_plan(*command); }); });
}

}  // namespace tessera
