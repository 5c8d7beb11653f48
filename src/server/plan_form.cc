#include "server/plan_form.h"

#include <algorithm>

#include "planner/charts.h"
#include "server/plan_query.h"

namespace tessera {
namespace {

constexpr const char* kFields[] = {"model", "hardware", "prompt", "generate", "batch", "chips", "weights"};

// What the query says, else what the command line says.
std::string shown(const PlanForm& form, std::string_view name, const std::string& otherwise) {
  std::string value;
  bool found = false;
  const bool is_list = name == "batch" || name == "chips" || name == "weights";
  for (const QueryParameter& q : form.query) {
    if (q.name != name) continue;
    value = found && is_list && !q.value.empty() ? value + "," + q.value : q.value;
    found = true;
  }
  return found ? value : otherwise;
}

std::string select(const PlanForm& form, const char* name, const std::vector<std::string>& names,
                   const std::string& otherwise) {
  std::string selected = shown(form, name, otherwise);
  if (selected.empty()) selected = otherwise;
  std::string html = fmt::format("<label>{0}<select name=\"{0}\">", name);
  for (const std::string& n : names) {
    html += fmt::format("<option{}>{}</option>", n == selected ? " selected" : "", escape_html(n));
  }
  return html + "</select></label>";
}

std::string input(const PlanForm& form, const char* label, const char* name, const std::string& value,
                  const char* hint) {
  return fmt::format(
      "<label>{}<input name=\"{}\" value=\"{}\" placeholder=\"{}\" size=\"10\" autocomplete=\"off\"></label>", label,
      name, escape_html(shown(form, name, value)), hint);
}

}  // namespace

std::string plan_form_html(const PlanForm& form) {
  const PlanOptions& o = form.options;
  std::string html = "<form class=\"ask\" method=\"get\" action=\"plan\">";
  html += select(form, "model", form.models, o.model) + select(form, "hardware", form.hardware, o.hardware);
  html += input(form, "prompt tokens", "prompt", fmt::format("{}", o.prompt_tokens), "512");
  html += input(form, "output tokens", "generate", fmt::format("{}", o.generated_tokens), "128");
  html += input(form, "batch", "batch", fmt::format("{}", fmt::join(o.batches, ",")), "default");
  html += input(form, "chips", "chips", fmt::format("{}", fmt::join(o.chips, ",")), "default");
  html += input(form, "weight types", "weights", fmt::format("{}", fmt::join(o.weight_types, ",")), "default");
  const std::vector<std::string> known = plan_parameters();
  for (const QueryParameter& q : form.query) {
    const bool has_field = std::ranges::find(kFields, q.name) != std::end(kFields);
    if (has_field || std::ranges::find(known, q.name) == known.end()) continue;
    html += fmt::format("<input type=\"hidden\" name=\"{}\" value=\"{}\">", q.name, escape_html(q.value));
  }
  const std::string query = encode_query(form.query);
  return html + fmt::format("<button>Plan</button><a href=\"plan.json{}{}\">JSON</a></form>\n",
                            query.empty() ? "" : "?", escape_html(query));
}

}  // namespace tessera
