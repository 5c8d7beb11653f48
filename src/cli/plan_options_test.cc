// The page of `plan --serve` takes the verb's options by name: whichever is added to one must be decided for the other.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <set>

#include "cli/plan.h"
#include "server/plan_query.h"

namespace tessera {
namespace {

// What names files, or says where the answer goes: only for whoever starts the program.
const std::set<std::string> kOnlyOnTheCommandLine = {"list",  "trace", "json",      "html",
                                                     "serve", "check", "calibrate", "gallery"};

void collect(const CLI::App& app, std::set<std::string>* names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (name != "help") names->insert(name);
    }
  }
  for (const CLI::App* group : app.get_subcommands([](const CLI::App*) { return true; })) collect(*group, names);
}

TEST(PlanOptions, EveryOptionIsAQueryParameterOrIsNot) {
  CLI::App app;
  PlanCommand command;
  add_plan_options(&app, &command);
  std::set<std::string> verb, page = kOnlyOnTheCommandLine;
  collect(app, &verb);
  for (const std::string& name : plan_parameters()) EXPECT_TRUE(page.insert(name).second) << name;
  EXPECT_EQ(verb, page);
}

}  // namespace
}  // namespace tessera
