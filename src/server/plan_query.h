// The options of `tessera plan` as query parameters: "model=llama-3-8b&hardware=h100&chips=1,2,4&prompt=2k". What names
// a file or says where output goes is not among them: those belong to whoever started the server.
#ifndef TESSERA_SERVER_PLAN_QUERY_H_
#define TESSERA_SERVER_PLAN_QUERY_H_

#include <string>
#include <vector>

#include "planner/plan.h"
#include "server/uri.h"

namespace tessera {

std::vector<std::string> plan_parameters();  // names, those of the form first

// Replaces what the query names; an empty value takes the option back to the program's default (model and hardware: to
// the given ones), lists add up, of the others the last counts. Bounds every number. On an error `parameter` names it.
Status apply_plan_query(const std::vector<QueryParameter>& query, PlanOptions* options, std::string* parameter);

}  // namespace tessera

#endif  // TESSERA_SERVER_PLAN_QUERY_H_
