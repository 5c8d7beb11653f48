#include "cli/plan.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "cli/common_flags.h"
#include "formats/text.h"
#include "server/http_server.h"
#include "server/plan_page.h"
#include "server/uri.h"

namespace tessera {

namespace {

// A server with nothing but the planner's pages. The one of models will have the same routes beside its own.
Status serve(const PlanCommand& command) {
  const PlanOptions& o = command.options;
  if (o.json || o.list || !o.html.empty() || !o.check.empty() || !o.calibrate.empty() || !o.gallery.empty())
    return invalid_argument(
        "--serve: the page takes the place of --json, --list, --html, --check, --calibrate and --gallery");
  if (!o.trace.empty()) return invalid_argument("--serve: the page simulates --rate, not --trace");
  const Result<HostPort> where = parse_host_port(command.serve, "127.0.0.1");
  if (!where.ok()) return where.status().with_context("--serve");
  TESSERA_ASSIGN_OR_RETURN(std::vector<Route> routes, plan_routes(o));
  routes.push_back({"GET", "/", [](const HttpRequest&) { return redirect_response("plan"); }});
  Result<HttpServer> server = HttpServer::listen({where->host, where->port, {}}, std::move(routes));
  if (!server.ok()) return server.status().with_context("--serve");
  fmt::print("{}/plan    Ctrl-C ends it\n", server->url());
  std::fflush(stdout);
  if (!server->only_loopback()) std::fputs("note: open to every machine that reaches this address\n", stderr);
  server->run_until_signal();
  return Status();
}

}  // namespace

void add_plan_options(CLI::App* app, PlanCommand* command) {
  PlanOptions* o = &command->options;
  app->add_option("model,-m,--model", o->model,
                  "GGUF file, Hugging Face folder, config.json, or a name (--list); default: the shipped model");
  app->add_option("--hardware", o->hardware, "a name (--list), a JSON file, or 'this': what `tessera probe` measured");
  app->add_flag("--list", o->list, "print the known models and hardware");

  auto* request = app->add_option_group("Request");
  const auto suffix = CLI::AsNumberWithUnit(std::map<std::string, int64_t>{{"k", 1024}, {"m", 1 << 20}},
                                            CLI::AsNumberWithUnit::CASE_INSENSITIVE);
  request->add_option("-p,--prompt", o->prompt_tokens, "prompt tokens (512; 32k works)")->transform(suffix);
  request->add_option("-n,--generate", o->generated_tokens, "generated tokens (128)")->transform(suffix);
  request->add_option("-b,--batch", o->batches, "sequences at once; a list is searched")->delimiter(',');

  auto* space = app->add_option_group("Search");
  space->add_option("--chips", o->chips, "chips or machines; a list is searched")->delimiter(',');
  space->add_option("--max-chips", o->max_chips, "search up to this many (256; 16 for machines)");
  space->add_option("--mesh", o->mesh, "fixed mesh, XxYxZ");
  space->add_option("--prefill-layout", o->prefill_layout, "fixed: ws1d, ws2d, wgx, wgxy, wgxyz");
  space->add_option("--decode-layout", o->decode_layout, "fixed");
  space->add_flag("--all-layouts", o->all_layouts, "also layouts that the hardware's software does not have");
  space->add_option("--weights", o->weight_types, "weight types: bf16, int8, int4, q4_k ...; default: as stored")
      ->delimiter(',');
  space->add_option("--kv", o->kv_type, "type of the KV cache (bf16)");
  space->add_option("--objective", o->objective, "latency, cost or balanced");

  auto* limits = app->add_option_group("Limits");
  limits->add_option("--max-first-token", o->max_prefill_seconds, "seconds to the first token");
  limits->add_option("--max-per-token", o->max_step_seconds, "seconds per output token");
  limits->add_option("--max-memory", o->max_memory_gib, "GiB per chip");
  limits->add_option("--max-cost", o->max_cost_per_million, "dollars per million generated tokens");

  auto* service = app->add_option_group("Service simulation (with --rate or --trace)");
  service->add_option("--rate", o->requests_per_second, "requests per second, Poisson");
  service->add_option("--trace", o->trace, "file of seconds,prompt,output lines");
  service->add_option("--requests", o->requests, "how many (2000)");
  service->add_option("--prompt-lengths", o->prompt_lengths, "128, uniform:16-512, exp:200 or lognormal:300,0.8");
  service->add_option("--output-lengths", o->output_lengths, "the same");
  service->add_option("--replicas", o->replicas, "fleet size; without it the smallest that meets the target");
  service->add_option("--prefill-replicas", o->prefill_replicas,
                      "replicas that only prefill; the others then only decode");
  service->add_option("--target-first-token", o->target_ttft_seconds, "seconds, for 95 % of requests");
  service->add_option("--target-per-token", o->target_tpot_seconds, "seconds, for 95 % of requests");
  service->add_option("--seed", o->seed, "of the simulated arrivals");

  auto* output = app->add_option_group("Output");
  output->add_flag("--json", o->json, "print JSON");
  output->add_option("--html", o->html, "write a page with charts to this file");
  output->add_option("--serve", command->serve, "serve the page over HTTP until Ctrl-C; on 127.0.0.1, 0: any free port")
      ->type_name("[HOST:]PORT");
  output->add_option("--check", o->check, "results of `tessera bench`: print the error of every prediction");
  output->add_option("--calibrate", o->calibrate,
                     "results of `tessera bench`: fit the constants and store them with the hardware");
  output->add_option("--gallery", o->gallery, "write the figures of Pope et al. beside our numbers to this file");
}

Status run_plan(PlanCommand command) {
  PlanOptions& options = command.options;
  const bool needs_model =
      !options.list && options.gallery.empty() && options.check.empty() && options.calibrate.empty();
  if (options.model.empty() && needs_model) {
    TESSERA_ASSIGN_OR_RETURN(options.model, default_model_path());
  }
  if (!command.serve.empty()) return serve(command);
  if (options.json) return plan_main(options, std::cout);
  std::ostringstream text;  // with names of models, hardware and files
  const Status status = plan_main(options, text);
  std::cout << printable(text.str(), NewLines::kKeep);
  return status;
}

}  // namespace tessera
