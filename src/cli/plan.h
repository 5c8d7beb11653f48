// `tessera plan`: will it fit, how fast, how many machines, which layout. The work is in planner/plan.h.
#ifndef TESSERA_CLI_PLAN_H_
#define TESSERA_CLI_PLAN_H_

#include <string>

#include "base/status.h"
#include "planner/plan.h"

namespace CLI {
class App;
}

namespace tessera {

struct PlanCommand {
  PlanOptions options;
  std::string serve;  // [HOST:]PORT
};
void add_plan_options(CLI::App* app, PlanCommand* command);
Status run_plan(PlanCommand command);  // prints to standard output; without a model: the shipped one, like `run`

}  // namespace tessera

#endif  // TESSERA_CLI_PLAN_H_
