#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/bench_compare.h"
#include "cli/bench_options.h"
#include "cli/bench_output.h"
#include "cli/build_commit.h"

namespace tessera {
namespace {

using Numbers = std::vector<int64_t>;

Numbers numbers(std::string_view text) {
  auto values = parse_numbers("-p", text, 0, 1 << 20);
  EXPECT_TRUE(values.ok()) << text << ": " << values.status().message();
  return values.ok() ? *values : Numbers{};
}

TEST(BenchOptions, ListsAndRanges) {
  EXPECT_EQ(numbers("512"), (Numbers{512}));
  EXPECT_EQ(numbers("1,2,8"), (Numbers{1, 2, 8}));
  EXPECT_EQ(numbers("1-4"), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(numbers("128-512+128"), (Numbers{128, 256, 384, 512}));
  EXPECT_EQ(numbers("1-32*2"), (Numbers{1, 2, 4, 8, 16, 32}));
  EXPECT_EQ(numbers("1-5+3,7"), (Numbers{1, 4, 7}));
  EXPECT_EQ(numbers("0,16"), (Numbers{0, 16}));
}

TEST(BenchOptions, RefusesNonsense) {
  for (const char* text : {"", "x", "1,", "4-1", "1-8*1", "0-8*2", "1-8+0", "1-8+-1", "1--8", "-5", "99999999", "1-9999999999999999999",
                           "1-100000", "1-8+", "1-8*", "1.5"}) {
    EXPECT_FALSE(parse_numbers("-p", text, 0, 1 << 20).ok()) << text;
  }
  EXPECT_NE(parse_numbers("-p", "x", 0, 9).status().message().find("-p x"), std::string::npos);
}

TEST(BenchOptions, PairsTypesFormats) {
  const auto pairs = parse_pairs("-pg", "512,128;1,2");
  ASSERT_TRUE(pairs.ok());
  EXPECT_EQ((*pairs)[1], (std::pair<int64_t, int64_t>{1, 2}));
  for (const char* text : {"512", "512,", "0,1", "1,2,3", ""}) EXPECT_FALSE(parse_pairs("-pg", text).ok()) << text;
  EXPECT_EQ(parse_cache_types("-ctk", "f16,q8_0")->size(), 2u);
  EXPECT_FALSE(parse_cache_types("-ctk", "q4_k").ok());
  EXPECT_TRUE(parse_bench_format("jsonl").ok());
  EXPECT_FALSE(parse_bench_format("xml").ok());
}

TEST(BenchOptions, AllCombinations) {
  BenchOptions o;
  o.models = {"a", "b"};
  o.prompt_tokens = {0, 512};
  o.generate_tokens = {128};
  o.streams = {1, 8};
  o.depths = {0, 4096};
  o.prompt_and_generate = {{64, 16}};
  const auto cases = expand_cases(o);
  ASSERT_EQ(cases.size(), 2u * 2 * (1 + 2 + 1));
  EXPECT_EQ(cases[0].test_name(), "pp512");
  EXPECT_EQ(cases[2].test_name(), "tg128 x 8");
  EXPECT_EQ(cases[3].test_name(), "pp64+tg16");
  EXPECT_EQ(cases[5].test_name(), "tg128 @ d4096");
  EXPECT_TRUE(cases[0].same_engine(cases[7]));
  EXPECT_FALSE(cases[7].same_engine(cases[8]));
}

TEST(BenchOptions, WeightsAreAnotherEngine) {
  BenchOptions o;
  o.models = {"a"};
  o.generate_tokens = {};
  EXPECT_FALSE(parse_weight_choices("stored,w9").ok());
  o.weights = *parse_weight_choices("stored,w8");
  const auto cases = expand_cases(o);
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[1].weights, "w8");
  EXPECT_FALSE(cases[0].same_engine(cases[1]));
}

BenchResult result_of(std::vector<double> seconds) {
  BenchResult r;
  r.test = {"models/x.gguf", "stored", 2, 512, DType::kF16, DType::kF16, 0, 128, 0, 1};
  r.model = {"models/x.gguf", "llama 1.1B Q4_0", "q4_0", 636000000, 1100000000, 599000000, 0xabc, 0.4};
  r.hardware = "a machine";
  r.prediction = {2.5, 0.1, 7e8};
  r.time = "2026-01-02T03:04:05Z";
  for (const double s : seconds) r.samples.push_back({s, CoreState::kNear, 30, 0.01, 0.9});
  return r;
}

TEST(BenchOutput, JsonHasEveryFieldThatScriptsRead) {
  BenchPrinter printer(BenchFormat::kJson);
  std::string text = printer.begin();
  text += printer.result(result_of({2, 4}));
  text += printer.result(result_of({1}));
  text += printer.end();
  const auto json = nlohmann::json::parse(text, nullptr, false);
  ASSERT_TRUE(json.is_array());
  ASSERT_EQ(json.size(), 2u);
  for (const char* field :
       {"build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "model_size",
        "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll", "type_k", "type_v",
        "n_gpu_layers", "split_mode", "main_gpu", "no_kv_offload", "flash_attn", "tensor_split", "use_mmap", "embeddings",
        "n_prompt", "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns",
        "samples_ts", "weights", "type_weights", "samples_core_state", "samples_limit_fraction", "peak_resident_bytes"}) {
    EXPECT_TRUE(json[0].contains(field)) << field;
  }
  EXPECT_DOUBLE_EQ(json[0]["samples_ts"][0], 64);
  EXPECT_DOUBLE_EQ(json[0]["avg_ts"], 48);
  EXPECT_EQ(json[0]["avg_ns"], 3000000000);
  EXPECT_EQ(json[0]["samples_core_state"][0], "near");
  EXPECT_EQ(json[0]["model_fingerprint"], "0000000000000abc");
  EXPECT_EQ(json[0]["build_commit"], build_commit());
}

TEST(BenchOutput, PredictedStandsBesideMeasured) {
  const auto json = nlohmann::json::parse(bench_record(result_of({2, 2, 2})).dump());
  EXPECT_EQ(json["predicted_ns"], 2500000000);
  EXPECT_DOUBLE_EQ(json["predicted_ts"], 128 / 2.5);
  EXPECT_DOUBLE_EQ(json["predicted_error"], 2 / 2.5 - 1);
  EXPECT_DOUBLE_EQ(json["predicted_interval"], 0.1);
  EXPECT_EQ(json["predicted_peak_bytes"], 700000000);
  EXPECT_EQ(json["predicted_from"], "a machine");
  EXPECT_DOUBLE_EQ(json["limit_fraction"], 0.9);
  BenchPrinter csv(BenchFormat::kCsv), md(BenchFormat::kMarkdown);
  const std::string table = csv.result(result_of({2}));
  EXPECT_NE(table.find(",predicted_ns,predicted_ts,"), std::string::npos);
  EXPECT_NE(table.find("\"2500000000\",\"51.2\""), std::string::npos);
  EXPECT_NE(md.begin().find("predicted t/s"), std::string::npos);
  EXPECT_NE(md.result(result_of({2})).find("51.20 (-20 %)"), std::string::npos);
}

TEST(BenchOutput, NotesExplainWhatLooksImpossible) {
  const auto table = [](double limit, bool in_cache, bool small, BenchFormat format) {
    BenchResult r = result_of({2});
    r.samples[0].limit_fraction = limit;
    r.model.in_cache = in_cache;
    r.prediction.below_calibrated_size = small;
    BenchPrinter printer(format);
    printer.result(r);
    return printer.end();
  };
  EXPECT_EQ(table(0.99, true, false, BenchFormat::kMarkdown), "");
  EXPECT_NE(table(1.5, true, false, BenchFormat::kMarkdown).find("these stay in the processor's cache"), std::string::npos);
  EXPECT_NE(table(1.5, false, false, BenchFormat::kMarkdown).find("faster now than when it was probed"), std::string::npos);
  EXPECT_NE(table(0.5, true, true, BenchFormat::kMarkdown).find("not calibrated for models this small"), std::string::npos);
  EXPECT_EQ(table(1.5, true, true, BenchFormat::kCsv), "");
}

TEST(BenchOutput, WithoutPredictionTheFieldsAreZero) {
  BenchResult result = result_of({2});
  result.prediction = {};
  const auto json = nlohmann::json::parse(bench_record(result).dump());
  EXPECT_EQ(json["predicted_ns"], 0);
  EXPECT_EQ(json["predicted_error"], 0);
  BenchPrinter md(BenchFormat::kMarkdown);
  EXPECT_NE(md.result(result).find("|                 - |"), std::string::npos);
}

TEST(BenchOutput, OtherFormats) {
  BenchPrinter lines(BenchFormat::kJsonLines), csv(BenchFormat::kCsv), sql(BenchFormat::kSql), md(BenchFormat::kMarkdown);
  EXPECT_TRUE(nlohmann::json::accept(lines.result(result_of({1}))));
  std::string table = csv.result(result_of({1}));
  table += csv.result(result_of({2}));
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 3);
  EXPECT_TRUE(table.starts_with("build_commit,build_number,"));
  std::string statements = sql.result(result_of({1}));
  statements += sql.result(result_of({2}));
  EXPECT_EQ(statements.find("CREATE TABLE"), 0u);
  EXPECT_EQ(statements.rfind("CREATE TABLE"), 0u);
  EXPECT_NE(md.result(result_of({2, 4})).find("48.00 ± 22.63"), std::string::npos);
  EXPECT_NE(md.begin().find("| model "), std::string::npos);
}

std::string file_of(const std::vector<double>& seconds) {
  BenchPrinter printer(BenchFormat::kJson);
  std::string text = printer.begin();
  text += printer.result(result_of(seconds));
  return text + printer.end();
}

TEST(BenchCompare, VerdictsNeedMoreThanChance) {
  const auto a = read_series(file_of({1.00, 1.01, 1.02, 1.03, 1.04}));
  const auto faster = read_series(file_of({0.80, 0.81, 0.82, 0.83, 0.84}));
  const auto mixed = read_series(file_of({0.99, 1.005, 1.025, 1.035, 1.05}));
  const auto few = read_series(file_of({0.5, 0.5}));
  ASSERT_TRUE(a.ok() && faster.ok() && mixed.ok() && few.ok());
  const auto verdict = [&](const std::vector<BenchSeries>& b, SignificanceTest test) {
    CompareOptions options;
    options.test = test;
    return compare_series(*a, b, options).at(0).verdict;
  };
  for (const auto test : {SignificanceTest::kMannWhitney, SignificanceTest::kWelch}) {
    EXPECT_EQ(verdict(*faster, test), Comparison::Verdict::kFaster);
    EXPECT_EQ(verdict(*mixed, test), Comparison::Verdict::kSame);
    EXPECT_EQ(verdict(*few, test), Comparison::Verdict::kTooFew);
  }
  const auto slower = compare_series(*faster, *a, {});
  EXPECT_EQ(slower.at(0).verdict, Comparison::Verdict::kSlower);
  EXPECT_NEAR(slower.at(0).ratio, 0.82 / 1.02, 1e-9);
  EXPECT_NE(comparison_table(slower, {}).find("SLOWER"), std::string::npos);
}

TEST(BenchCompare, BatchesAreTestsOfTheirOwn) {
  const auto file = [](std::vector<std::pair<int, double>> batches) {
    std::string lines;
    for (const auto& [batch, seconds] : batches) {
      auto record = bench_record(result_of({seconds, seconds, seconds, seconds}));
      record["n_batch"] = batch;
      lines += record.dump() + "\n";
    }
    return *read_series(lines);
  };
  const auto both = compare_series(file({{128, 1.0}, {512, 2.0}}), file({{512, 1.0}, {128, 1.0}}), {});
  ASSERT_EQ(both.size(), 2u);
  EXPECT_NEAR(both[0].ratio, 1, 1e-9);
  EXPECT_NEAR(both[1].ratio, 2, 1e-9);
  EXPECT_TRUE(both[1].a.test.ends_with(" b512")) << both[1].a.test;
  // Another engine with another default.
  const auto other = compare_series(file({{512, 1.0}}), file({{2048, 1.0}}), {});
  ASSERT_EQ(other.size(), 1u);
  EXPECT_TRUE(other[0].a.test.ends_with(" b512/b2048")) << other[0].a.test;
  EXPECT_EQ(compare_series(file({{512, 1.0}}), file({{2048, 1.0}, {128, 1.0}}), {}).size(), 0u);
}

TEST(BenchCompare, PoolsLinesAndRefusesForeignText) {
  const std::string line = bench_record(result_of({1, 2})).dump();
  const auto lines = read_series(line + "\n\n" + line + "\n");
  ASSERT_TRUE(lines.ok());
  EXPECT_EQ(lines->size(), 2u);
  EXPECT_EQ(compare_series(*lines, *lines, {}).at(0).a.tokens_per_second.size(), 4u);
  EXPECT_TRUE(compare_series(*lines, {}, {}).empty());
  for (const char* text : {"[1]", "[{}]", "x", R"([{"n_threads":2,"n_prompt":1,"n_gen":0,"samples_ts":["a"]}])",
                           R"([{"n_threads":-2,"n_prompt":1,"n_gen":0,"samples_ts":[]}])"}) {
    EXPECT_FALSE(read_series(text).ok()) << text;
  }
}

}  // namespace
}  // namespace tessera
