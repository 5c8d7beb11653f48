// `tessera plan`: will it fit, how fast, how many machines, which layout. The work is in planner/plan.h.
#ifndef TESSERA_CLI_PLAN_H_
#define TESSERA_CLI_PLAN_H_

#include "base/status.h"
#include "planner/plan.h"

namespace CLI {
class App;
}

namespace tessera {

void add_plan_options(CLI::App* app, PlanOptions* options);
Status run_plan(PlanOptions options);  // prints to standard output; without a model: the shipped one, like `run`

}  // namespace tessera

#endif  // TESSERA_CLI_PLAN_H_
