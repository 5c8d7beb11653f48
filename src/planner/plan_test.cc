#include "planner/plan.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "planner/charts.h"
#include "planner/json_fields.h"

namespace tessera {
namespace {

std::string run(const PlanOptions& options) {
  std::ostringstream out;
  const Status status = plan_main(options, out);
  EXPECT_TRUE(status.ok()) << status.message();
  return out.str();
}

TEST(Plan, OneArgumentIsEnough) {
  PlanOptions o;
  o.model = "llama-3.2-1b";
  o.hardware = "ryzen-7950x";  // a test must not depend on the machine's own file
  const std::string text = run(o);
  for (const char* part : {"Use ", "first token", "per token", "memory", "context", "+-"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  o.hardware = "this";
  EXPECT_NE(run(o).find("Use "), std::string::npos);
}

TEST(Plan, SmallModelsHaveAnHonestInterval) {
  PlanOptions o;
  o.model = std::string(TESSERA_SOURCE_DIR) + "/models/tessera-stories-5m-q8_0.gguf";
  o.hardware = "ryzen-7950x";
  const std::string text = run(o);
  EXPECT_NE(text.find("a factor of 3 either way on times: not calibrated for models this small (5.32 M parameters"), std::string::npos) << text;
  o.json = true;
  const auto json = nlohmann::json::parse(run(o));
  EXPECT_EQ(json.at("hardware").at("relative_error"), 2.0);
  EXPECT_EQ(json.at("hardware").at("below_calibrated_size"), true);
  const auto& step = json.at("best").at("decode_step");
  EXPECT_DOUBLE_EQ(step.at("low").get<double>(), step.at("seconds").get<double>() / 3);
  EXPECT_DOUBLE_EQ(step.at("high").get<double>(), step.at("seconds").get<double>() * 3);
  o.json = false;
  o.html = testing::TempDir() + "/small.html";
  run(o);
  const std::string page = *read_text_file(o.html);
  EXPECT_NE(page.find("not calibrated for models this small"), std::string::npos);
  EXPECT_NE(page.find("tokens/s, a factor of 3 either way"), std::string::npos);
  std::remove(o.html.c_str());
}

// Embedding and output matrix are not multiplied with every prompt token. (Where the authors name N, MFU is theirs, 2N a
// token, tables included: PaLM 8B can exceed 100 %.)
TEST(Plan, NothingRunsAboveThePeak) {
  for (const std::string& model : shipped_models()) {
    for (const char* hardware : {"h100", "epyc-9654"}) {
      PlanOptions o;
      o.model = model;
      o.hardware = hardware;
      o.prompt_tokens = 32;
      const auto report = make_plan(o);
      ASSERT_TRUE(report.ok()) << report.status().message();
      if (report->request.model.nominal_params > 0) continue;
      for (const Candidate& c : report->result.candidates) {
        EXPECT_LE(c.prefill.mfu, 1) << model << " on " << hardware;
        EXPECT_LE(c.decode.mfu, 1) << model << " on " << hardware;
      }
    }
  }
}

TEST(Plan, JsonCarriesIntervalsAndLayouts) {
  PlanOptions o;
  o.model = "palm-540b";
  o.hardware = "tpu-v4";
  o.chips = {64};
  o.batches = {64};
  o.weight_types = {"int8"};
  o.prompt_tokens = 2048;
  o.json = true;
  const auto json = nlohmann::json::parse(run(o));
  const auto& step = json.at("best").at("decode_step");
  EXPECT_NEAR(step.at("seconds").get<double>(), 0.02785, 0.002);
  EXPECT_LT(step.at("low").get<double>(), 0.02785);
  EXPECT_GT(step.at("high").get<double>(), 0.02785);
  EXPECT_EQ(json.at("best").at("decode_layout").at("ffn"), "WS 2D");
  EXPECT_EQ(json.at("best").at("decode_layout").at("mesh"), "4x4x4");
}

TEST(Plan, PagesAreSelfContained) {
  PlanOptions o;
  o.model = "llama-3-70b";
  o.hardware = "h100";
  o.html = testing::TempDir() + "/plan.html";
  o.requests_per_second = 5;
  o.requests = 300;
  o.target_ttft_seconds = 2;
  o.target_tpot_seconds = 0.1;
  run(o);
  const std::string plan = *read_text_file(o.html);
  const auto gallery = gallery_html();
  ASSERT_TRUE(gallery.ok()) << gallery.status().message();
  for (const std::string& page : {plan, *gallery}) {
    EXPECT_NE(page.find("<svg"), std::string::npos);
    EXPECT_EQ(page.find("<script"), std::string::npos);
    EXPECT_EQ(page.find("http://"), std::string::npos);
    EXPECT_EQ(page.find("nan"), std::string::npos);
  }
  std::remove(o.html.c_str());
}

TEST(Plan, WrongInputIsOneSentence) {
  const auto message = [](PlanOptions o) {
    std::ostringstream out;
    return plan_main(o, out).message();
  };
  PlanOptions o;
  EXPECT_NE(message(o).find("no model"), std::string::npos);
  o.model = "llama-3-8b";
  o.hardware = "h100";
  o.mesh = "4y4";
  EXPECT_EQ(message(o), "mesh '4y4': expected XxYxZ such as 4x4x4");
  o.mesh = "";
  o.chips = {0};
  EXPECT_EQ(message(o), "chips: expected 1 to 1048576");
  o.chips = {};
  o.objective = "speed";
  EXPECT_EQ(message(o), "objective 'speed': expected latency, cost or balanced");
}

TEST(Plan, CheckPrintsResidualsPerPhase) {
  const std::string path = testing::TempDir() + "/results.json";
  const std::string shape =
      R"("shape":{"name":"m","layers":32,"model_dim":4096,"ff_dim":14336,"heads":32,"kv_heads":8,"vocab":128256},"weight_type":"int8")";
  std::ofstream(path) << "[{" << shape << R"(,"n_prompt":512,"n_gen":0,"avg_ns":1e9},{)" << shape
                      << R"(,"n_prompt":0,"n_gen":32,"n_depth":128,"avg_ns":1e9,"predicted_ns":9e8}])";
  PlanOptions o;
  o.check = path;
  o.hardware = "epyc-9654";
  const std::string text = run(o);
  for (const char* part : {"pp512", "tg32 @128", "prefill  1 points", "decode   1 points"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  std::ofstream(path) << R"([{"n_prompt":1,"avg_ns":-5}])";
  std::ostringstream out;
  EXPECT_NE(plan_main(o, out).message().find("avg_ns"), std::string::npos);
  std::remove(path.c_str());
}

TEST(Charts, TextIsEscapedAndEmptyChartsAreDrawn) {
  XyChart chart;
  chart.title = "<b>&\"";
  chart.series = {{"a", 0, SeriesStyle::kLine, false, false, {{1, 0, ""}, {2, -1, ""}}}};
  chart.log_y = true;
  const std::string svg = render(chart);
  EXPECT_EQ(svg.find("<b>&\""), std::string::npos);
  EXPECT_NE(svg.find("&lt;b&gt;&amp;&quot;"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace tessera
