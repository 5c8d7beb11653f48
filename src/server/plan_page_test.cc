// /plan and /plan.json against what the verb writes for the same options.
#include "server/plan_page.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "server/plan_query.h"

namespace tessera {
namespace {

HttpResponse ask(const std::vector<Route>& routes, const std::string& path, const std::string& query) {
  const HttpRequest request{"GET", path, query, "", true};
  const RouteMatch match = find_route(routes, request);
  return match.route == nullptr ? match.error : match.route->handler(request);
}

std::vector<Route> routes_of(const PlanOptions& options, const PlanPageLimits& limits = {}) {
  auto routes = plan_routes(options, limits);
  EXPECT_TRUE(routes.ok()) << routes.status().message();
  return routes.ok() ? *std::move(routes) : std::vector<Route>{};
}

std::string without_form(std::string html) {
  const size_t begin = html.find("<form"), end = html.find("</form>\n");
  if (begin == std::string::npos || end == std::string::npos) return "no form in " + html;
  return html.erase(begin, end + 8 - begin);
}

PlanOptions small() {
  PlanOptions o;
  o.model = "llama-3.2-1b";
  o.hardware = "ryzen-7950x";
  return o;
}

struct Pair {
  const char* query;
  PlanOptions options;  // as the command line would have it
};

std::vector<Pair> pairs() {
  PlanOptions a = small(), b = small(), c = small(), d = small();
  b.model = "llama-3-70b";
  b.hardware = "h100";
  b.prompt_tokens = 2048;
  b.generated_tokens = 64;
  b.chips = {4, 8};
  b.batches = {1, 16, 64};
  b.weight_types = {"int8", "bf16"};
  b.all_layouts = true;
  b.max_step_seconds = 0.05;
  c.model = "palm-540b";
  c.hardware = "tpu-v4";
  c.mesh = "4x4x4";
  c.decode_layout = "ws2d";
  c.prefill_layout = "wgxyz";
  c.objective = "cost";
  c.kv_type = "bf16";
  c.batches = {512};
  d.model = "llama-3-8b";
  d.hardware = "h100";
  d.requests_per_second = 5;
  d.requests = 300;
  d.prompt_lengths = "lognormal:300,0.8";
  d.output_lengths = "exp:100";
  d.target_ttft_seconds = 1;
  d.target_tpot_seconds = 0.05;
  d.seed = 3;
  return {{"", a},
          {"model=llama-3-70b&hardware=h100&prompt=2k&generate=64&chips=4,8&batch=1&batch=16,64&weights=int8,bf16&all-"
           "layouts=1"
           "&max-per-token=0.05",
           b},
          {"model=palm-540b&hardware=tpu-v4&mesh=4x4x4&decode-layout=ws2d&prefill-layout=wgxyz&objective=cost&kv=bf16&"
           "batch=512",
           c},
          {"model=llama-3-8b&hardware=h100&rate=5&requests=300&prompt-lengths=lognormal:300,0.8&output-lengths=exp:100"
           "&target-first-token=1&target-per-token=5e-2&seed=3",
           d}};
}

TEST(PlanPage, IsThePageOfTheVerbWithAForm) {
  const auto routes = routes_of(small());
  for (const Pair& p : pairs()) {
    const auto report = make_plan(p.options);
    ASSERT_TRUE(report.ok()) << report.status().message();
    const HttpResponse page = ask(routes, "/plan", p.query);
    EXPECT_EQ(page.status, 200) << page.body;
    EXPECT_EQ(without_form(page.body), plan_html(*report)) << p.query;
    const HttpResponse json = ask(routes, "/plan.json", p.query);
    EXPECT_EQ(json.status, 200);
    EXPECT_EQ(json.content_type, "application/json");
    EXPECT_EQ(json.body, plan_json(*report)) << p.query;
  }
}

TEST(PlanPage, WithoutAQueryItIsTheCommandLine) {
  const PlanOptions options = pairs()[1].options;
  const auto routes = routes_of(options);
  EXPECT_EQ(ask(routes, "/plan.json", "").body, plan_json(*make_plan(options)));
  // An empty field is the program's default, not the command line's value.
  PlanOptions cleared = options;
  cleared.batches = {};
  cleared.prompt_tokens = 512;
  cleared.max_step_seconds = 0;
  EXPECT_EQ(ask(routes, "/plan.json", "batch=&prompt=&max-per-token=&model=").body, plan_json(*make_plan(cleared)));
  const std::string page = ask(routes, "/plan", "").body;
  for (const char* part :
       {"<option selected>llama-3-70b<", "<option selected>h100<", "value=\"2048\"", "value=\"1,16,64\"",
        "value=\"4,8\"", "value=\"int8,bf16\"", "<option>this<", "<option>gpt2<"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST(PlanPage, TheFormKeepsWhatItHasNoFieldFor) {
  const auto routes = routes_of(small());
  const std::string page = ask(routes, "/plan", "kv=q8_0&model=gpt2&batch=2&batch=4").body;
  EXPECT_NE(page.find("<input type=\"hidden\" name=\"kv\" value=\"q8_0\">"), std::string::npos);
  EXPECT_EQ(page.find("type=\"hidden\" name=\"model\""), std::string::npos);
  EXPECT_NE(page.find("name=\"batch\" value=\"2,4\""), std::string::npos);
  EXPECT_NE(page.find("href=\"plan.json?kv=q8_0&amp;model=gpt2&amp;batch=2&amp;batch=4\""), std::string::npos);
}

TEST(PlanPage, WrongValuesAreNamedBesideTheForm) {
  const auto routes = routes_of(small());
  const struct {
    const char *query, *message, *param;
  } cases[] = {
      {"prompt=0", "prompt: expected a whole number from 1 to 1073741824, found '0'", "prompt"},
      {"prompt=12q", "prompt: expected a whole number from 1 to 1073741824, found '12q'", "prompt"},
      {"prompt=99999999999999999999", "prompt: expected", "prompt"},
      {"prompt=9007199254740993m", "prompt: expected", "prompt"},
      {"chips=257", "chips: expected a whole number from 1 to 256, found '257'", "chips"},
      {"chips=1,,2", "chips: expected a whole number from 1 to 256, found ''", "chips"},
      {"chips=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "chips: expected at most 16 values", "chips"},
      {"max-cost=nan", "max-cost: expected a number", "max-cost"},
      {"max-cost=inf", "max-cost: expected a number", "max-cost"},
      {"max-cost=-1", "max-cost: expected a number", "max-cost"},
      {"all-layouts=maybe", "all-layouts: expected true or false, found 'maybe'", "all-layouts"},
      {"chip=1", "unknown parameter 'chip'; known: model, hardware,", "chip"},
      {"model=nobody", "model 'nobody': expected one of: palm-8b,", "model"},
      {"hardware=abacus", "hardware 'abacus': expected one of: this,", "hardware"},
      {"mesh=4y4", "mesh '4y4': expected XxYxZ such as 4x4x4", nullptr},
      {"weights=q99", "q99", nullptr},
      {"objective=fun", "objective 'fun': expected latency, cost or balanced", nullptr},
      {"prompt=%zz", "query, prompt: '%' must be followed by two hexadecimal digits", nullptr},
  };
  for (const auto& c : cases) {
    const HttpResponse json = ask(routes, "/plan.json", c.query);
    EXPECT_EQ(json.status, 400) << c.query;
    const auto error = nlohmann::json::parse(json.body).at("error");
    EXPECT_NE(error.at("message").get<std::string>().find(c.message), std::string::npos) << json.body;
    EXPECT_EQ(error.at("param"), c.param == nullptr ? nlohmann::json(nullptr) : nlohmann::json(c.param));
    const HttpResponse page = ask(routes, "/plan", c.query);
    EXPECT_EQ(page.status, 400) << c.query;
    EXPECT_NE(page.body.find("<form"), std::string::npos);
    EXPECT_NE(page.body.find("role=\"alert\""), std::string::npos);
  }
}

TEST(PlanPage, AWrongValueLeavesTheRestOfTheForm) {
  const std::string page = ask(routes_of(small()), "/plan", "batch=abc&model=gpt2&hardware=h100&weights=bf16").body;
  for (const char* part : {"<option selected>gpt2<", "<option selected>h100<", "value=\"abc\"", "value=\"bf16\""})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST(PlanPage, NamesAreNeverPaths) {
  // A file with the name of a shipped model in the working folder, and one with a name that is on no list.
  const auto before = std::filesystem::current_path();
  const std::filesystem::path folder = testing::TempDir() + "/plan_page";
  std::filesystem::create_directories(folder);
  std::filesystem::current_path(folder);
  std::ofstream("gpt2") << "not a model";
  std::ofstream("config.json") << "{}";
  const auto routes = routes_of(small());
  EXPECT_EQ(ask(routes, "/plan.json", "model=gpt2").status, 200);
  for (const char* name : {"config.json", "./gpt2", ".", ".."})
    EXPECT_EQ(ask(routes, "/plan.json", std::string("model=") + name).status, 400) << name;
  std::filesystem::current_path(before);
  std::filesystem::remove_all(folder);
}

TEST(PlanPage, TheGivenFileHasItsName) {
  PlanOptions options = small();
  options.model = std::string(TESSERA_SOURCE_DIR) + "/models/tessera-stories-5m-q8_0.gguf";
  const auto routes = routes_of(options);
  const HttpResponse own = ask(routes, "/plan.json", "model=tessera-stories-5m-q8_0.gguf");
  EXPECT_EQ(own.status, 200);
  EXPECT_EQ(own.body, ask(routes, "/plan.json", "").body);
  EXPECT_EQ(own.body.find(TESSERA_SOURCE_DIR), std::string::npos);
  EXPECT_EQ(ask(routes, "/plan", "").body.find(TESSERA_SOURCE_DIR), std::string::npos);
  EXPECT_EQ(ask(routes, "/plan.json", "model=" + options.model).status, 400);
  options.model = "/no/such/file.gguf";
  EXPECT_FALSE(plan_routes(options).ok());
}

TEST(PlanPage, SearchesAreBounded) {
  const std::string query = "model=llama-3-70b&hardware=h100";
  PlanPageLimits few, short_time;
  few.candidates = 10;
  short_time.search_time = std::chrono::milliseconds(0);
  for (const PlanPageLimits& limits : {few, short_time}) {
    const HttpResponse r = ask(routes_of(small(), limits), "/plan.json", query);
    EXPECT_EQ(r.status, 400);
    EXPECT_NE(r.body.find("the search takes too long"), std::string::npos) << r.body;
  }
  // The most that a query can ask for ends, one way or the other.
  const auto routes = routes_of(small());
  const std::string wide =
      query +
      "&all-layouts=1&max-chips=256&batch=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16384&weights=bf16,int8,int4,q4_k,q8_0";
  for (const std::string& extra :
       {std::string(), std::string("&rate=1e15&requests=100000&output-lengths=1000000&target-per-token=1e-9")})
    EXPECT_NE(ask(routes, "/plan.json", wide + extra).body, "");
}

}  // namespace
}  // namespace tessera
