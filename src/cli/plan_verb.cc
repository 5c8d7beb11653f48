#include <CLI/CLI.hpp>
#include <memory>

#include "cli/plan.h"
#include "cli/verb.h"

namespace tessera {

void add_plan_verb(CLI::App& app, VerbRunner run) {
  CLI::App* verb = app.add_subcommand("plan", "Say whether a model fits, how fast it will be and how to split it");
  const auto options = std::make_shared<PlanOptions>();
  add_plan_options(verb, options.get());
  verb->callback([=] { run([&] { return run_plan(*options); }); });
}

}  // namespace tessera
