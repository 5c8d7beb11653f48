// What a request names: its target, its query as options of the planner, its Host, and the bound of [HOST:]PORT.
// Options that are accepted must be in range, and what the form shows of any query must stay text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/plan_form.h"
#include "server/plan_query.h"
#include "server/uri.h"

using namespace tessera;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

size_t count(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size()) ++n;
  return n;
}

void plan_query(std::string_view text) {
  const auto query = parse_query(text);
  if (!query.ok()) return;
  require(parse_query(encode_query(*query)).ok());
  PlanForm form{{}, *query, {"a"}, {"b"}};
  std::string parameter;
  const Status status = apply_plan_query(*query, &form.options, &parameter);
  require(!status.ok() || parameter.empty());
  if (status.ok()) {
    const PlanOptions& o = form.options;
    require(o.prompt_tokens >= 1 && o.generated_tokens >= 0 && o.requests >= 1 && o.requests <= 100'000);
    require(o.chips.size() <= 16 && o.batches.size() <= 16 && o.weight_types.size() <= 16);
    require(o.trace.empty() && o.html.empty() && o.check.empty() && o.calibrate.empty() && o.gallery.empty());
  }
  const std::string html = plan_form_html(form);
  require(count(html, "<form") == 1 && count(html, "<script") == 0 && count(html, "<a ") == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: (void)parse_target(text); break;
    case 1: (void)names_this_machine(text); break;
    case 2: (void)parse_host_port(text, "127.0.0.1"); break;
    default: plan_query(text); break;
  }
  return 0;
}
