#include "server/plan_page.h"

#include <algorithm>
#include <memory>

#include "planner/charts.h"
#include "planner/html_page.h"
#include "server/plan_form.h"
#include "server/plan_query.h"

namespace tessera {
namespace {

enum class Format { kHtml, kJson };

// Immutable once made: requests are answered on several threads.
class PlanPage {
 public:
  PlanPage(PlanOptions options, PlanSubject given, PlanPageLimits limits)
      : options_(std::move(options)),
        given_(std::move(given)),
        limits_(limits),
        models_(shipped_models()),
        hardware_(shipped_hardware()) {
    options_.model = given_.model.name;
    // Where the file lies is nobody's business.
    if (given_.model.source.find('/') != std::string::npos) given_.model.source = given_.model.name;
    options_.hardware = given_.hardware.name;
    hardware_.insert(hardware_.begin(), "this");
    put_first(options_.model, &models_);
    put_first(options_.hardware, &hardware_);
  }

  HttpResponse answer(const HttpRequest& request, Format format) const {
    PlanForm form{options_, {}, models_, hardware_};
    std::string parameter;
    const Result<PlanReport> report = plan(request, &form, &parameter);
    if (format == Format::kJson) {
      return report.ok() ? json_response(200, plan_json(*report))
                         : error_response(400, report.status().message(), false, parameter);
    }
    if (report.ok()) return html_response(200, plan_html(*report, plan_form_html(form)));
    return html_response(
        400, html_page("Plan", "<h1>Plan</h1>" + plan_form_html(form) + "<p class=\"lead wrong\" role=\"alert\">" +
                                   escape_html(report.status().message()) + "</p>"));
  }

 private:
  static void put_first(const std::string& name, std::vector<std::string>* names) {
    if (std::ranges::find(*names, name) == names->end()) names->insert(names->begin(), name);
  }

  Result<PlanReport> plan(const HttpRequest& request, PlanForm* form, std::string* parameter) const {
    TESSERA_ASSIGN_OR_RETURN(form->query, parse_query(request.query));
    TESSERA_RETURN_IF_ERROR(apply_plan_query(form->query, &form->options, parameter));
    *parameter = "model";
    TESSERA_ASSIGN_OR_RETURN(ModelShape model, find_model(form->options.model));
    *parameter = "hardware";
    TESSERA_ASSIGN_OR_RETURN(HardwareSpec hardware, find_machine(form->options.hardware));
    parameter->clear();
    const auto end = std::chrono::steady_clock::now() + limits_.search_time;
    const auto keep_going = [this, end, asked = int64_t{0}]() mutable {
      return ++asked <= limits_.candidates && std::chrono::steady_clock::now() < end;
    };
    return make_plan(form->options, {std::move(model), std::move(hardware)}, keep_going);
  }

  // By name only: a path from a query is never opened, whatever lies there.
  Result<ModelShape> find_model(const std::string& name) const {
    if (name == options_.model) return given_.model;
    if (std::ranges::find(models_, name) != models_.end()) return find_shipped_model(name);
    return not_found("model '{}': expected one of: {}", name, fmt::join(models_, ", "));
  }
  Result<HardwareSpec> find_machine(const std::string& name) const {
    if (name == options_.hardware) return given_.hardware;
    if (std::ranges::find(hardware_, name) != hardware_.end()) return find_hardware(name);
    return not_found("hardware '{}': expected one of: {}", name, fmt::join(hardware_, ", "));
  }

  PlanOptions options_;
  PlanSubject given_;
  PlanPageLimits limits_;
  std::vector<std::string> models_, hardware_;  // what a query may name
};

}  // namespace

Result<std::vector<Route>> plan_routes(const PlanOptions& options, const PlanPageLimits& limits) {
  TESSERA_ASSIGN_OR_RETURN(PlanSubject subject, find_subject(options));
  TESSERA_RETURN_IF_ERROR(plan_request(options, subject).status());
  const auto page = std::make_shared<const PlanPage>(options, std::move(subject), limits);
  return std::vector<Route>{
      {"GET", "/plan", [page](const HttpRequest& request) { return page->answer(request, Format::kHtml); }},
      {"GET", "/plan.json", [page](const HttpRequest& request) { return page->answer(request, Format::kJson); }}};
}

}  // namespace tessera
