// The planner over HTTP: GET /plan is the page of `tessera plan --html` with a form above it, GET /plan.json the text of
// its --json. Whatever server has these routes needs no loaded model: of the model that the command line names the
// header is read once, here; all others come from the planner's list.
#ifndef TESSERA_SERVER_PLAN_PAGE_H_
#define TESSERA_SERVER_PLAN_PAGE_H_

#include <chrono>
#include <vector>

#include "base/status.h"
#include "planner/plan.h"
#include "server/http.h"

namespace tessera {

// One request's search ends with an error beyond either.
struct PlanPageLimits {
  std::chrono::milliseconds search_time{5'000};
  int64_t candidates = 50'000;
};

// options: of the command line; what a query does not name is taken from them.
Result<std::vector<Route>> plan_routes(const PlanOptions& options, const PlanPageLimits& limits = {});

}  // namespace tessera

#endif  // TESSERA_SERVER_PLAN_PAGE_H_
