// The form above the plan: model, hardware, request and search. It works without scripts and keeps the parameters that
// it has no field for.
#ifndef TESSERA_SERVER_PLAN_FORM_H_
#define TESSERA_SERVER_PLAN_FORM_H_

#include <string>
#include <vector>

#include "planner/plan.h"
#include "server/uri.h"

namespace tessera {

struct PlanForm {
  PlanOptions options;                // as far as the query was understood
  std::vector<QueryParameter> query;  // as it came, wrong values included
  std::vector<std::string> models, hardware;
};
std::string plan_form_html(const PlanForm& form);

}  // namespace tessera

#endif  // TESSERA_SERVER_PLAN_FORM_H_
