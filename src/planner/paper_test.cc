// What "Efficiently Scaling Transformer Inference" prints and plots, against our formulas: volumes, memory, parameter
// counts, MFU arithmetic, measured times. The numbers are in share/measured/pope2022.json.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "planner/calibrate.h"
#include "planner/comm.h"
#include "planner/embedded.h"
#include "planner/memory.h"

namespace tessera {
namespace {

const nlohmann::json& paper() {
  static const nlohmann::json json = [] {
    for (const EmbeddedFile& file : embedded_files()) {
      if (file.path == "measured/pope2022.json") return nlohmann::json::parse(file.text);
    }
    return nlohmann::json();
  }();
  return json;
}
ModelShape model(const char* name) { return *find_shipped_model(name); }
const HardwareSpec& tpu() {
  static const HardwareSpec spec = *find_hardware("tpu-v4");
  return spec;
}
double gigabytes(FfnLayout layout, double tokens) {
  return 2 * paper_ffn_elements(layout, {4, 4, 4}, 16384, 65536, tokens) / 1e9;
}

constexpr FfnLayout kFigure3[] = {FfnLayout::kWs2d, FfnLayout::kWgX, FfnLayout::kWgXy, FfnLayout::kWgXyz};

TEST(Paper, Figure3Volumes) {
  for (const auto& row : paper().at("figure3_gb")) {
    const double tokens = row[0];
    for (size_t i = 0; i < 4; ++i) {
      const double plotted = row[i + 1];
      EXPECT_NEAR(gigabytes(kFigure3[i], tokens) / plotted, 1, 1e-3) << to_string(kFigure3[i]) << " " << tokens;
    }
  }
}

TEST(Paper, Figure3SwitchesAtTheseTokens) {
  const auto best = [](double tokens) {
    FfnLayout least = FfnLayout::kWs2d;
    for (const FfnLayout layout : kFigure3)
      least = gigabytes(layout, tokens) < gigabytes(least, tokens) ? layout : least;
    return least;
  };
  EXPECT_EQ(best(16383), FfnLayout::kWs2d);
  EXPECT_EQ(best(16385), FfnLayout::kWgX);
  EXPECT_EQ(best(65535), FfnLayout::kWgX);
  EXPECT_EQ(best(65537), FfnLayout::kWgXy);
  EXPECT_EQ(best(786431), FfnLayout::kWgXy);
  EXPECT_EQ(best(786433), FfnLayout::kWgXyz);
}

TEST(Paper, TwoDimensionalOptimum) {
  // F = 4E: X = 0.5 sqrt(n), YZ = 2 sqrt(n).
  const auto volume = [](int64_t x) { return paper_ffn_elements(FfnLayout::kWs2d, {x, 256 / x, 1}, 4096, 16384, 1); };
  for (const int64_t x : {1, 2, 4, 16, 32}) EXPECT_LT(volume(8), volume(x));
  EXPECT_NEAR(volume(8), 8 * 4096 / std::sqrt(256.0), 1e-9);
}

TEST(Paper, ExactVolumesOfThePalmBlock) {
  // 25,088 elements per token at 4x4x4 (facts of the released code), before (K-1)/K.
  const Partition p{{4, 4, 4}, FfnLayout::kWs2d, AttentionLayout::kHeads};
  const ModelShape m = model("palm-540b");
  const LayerWire wire = layer_wire(tpu(), p, {&m, padded_heads(m, p), 1, 2, 0});
  EXPECT_NEAR(wire.yz_bytes * 16 / 15 + wire.x_bytes * 4 / 3, 2 * 25088, 1e-6);
}

TEST(Paper, ParameterCounts) {
  EXPECT_NEAR(total_params(model("palm-540b")), 540.36e9, 0.005e9);
  EXPECT_NEAR(total_params(model("palm-540b-padded")), 558.2e9, 0.05e9);
  EXPECT_NEAR(total_params(model("palm-62b")), 62.50e9, 0.005e9);
  EXPECT_NEAR(total_params(model("palm-8b")), 8.63e9, 0.005e9);
  EXPECT_NEAR(total_params(model("mt-nlg-530b")), 530e9, 3e9);
}

TEST(Paper, KvCache) {
  EXPECT_EQ(kv_bytes_per_token(model("palm-540b"), 2), 120832);
  EXPECT_EQ(kv_bytes_per_token(model("palm-62b"), 2), 65536);
  EXPECT_EQ(kv_bytes_per_token(model("palm-8b"), 2), 32768);
  EXPECT_NEAR(kv_bytes_per_token(model("palm-540b-multihead"), 2) * 512 * 2048, 3.04e12, 0.005e12);
}

TEST(Paper, Table1) {
  for (const auto& row : paper().at("table1")) {
    const ModelShape m = model(row["model"].get<std::string>().c_str());
    const Partition p{
        {4, 4, 4}, FfnLayout::kWs2d, row["attention"] == "batch" ? AttentionLayout::kBatch : AttentionLayout::kHeads};
    for (const auto& [batch, context] : row.at("context").items()) {
      const double tokens = context_in_kv_bytes(m, p, std::stoll(batch), 2, 0.3 * tpu().memory_bytes);
      EXPECT_NEAR(tokens / context.get<double>(), 1, 0.015) << row["label"] << " batch " << batch;
    }
  }
}

TEST(Paper, MfuOfTablesD2AndD3) {
  int rows = 0;
  const auto check = [&](const nlohmann::json& cell, double tokens, double params, double chips, double peak) {
    if (!cell.is_array()) return;
    const double mfu = 100 * 2 * params * tokens / (cell[0].get<double>() * 1e-3 * chips * peak);
    EXPECT_NEAR(mfu, cell[1].get<double>(), 1.0) << cell << " " << tokens;
    ++rows;
  };
  const double a100 = find_hardware("a100-80gb")->peak_flops.at("bf16"), v4 = tpu().peak_flops.at("bf16");
  for (const auto& row : paper().at("tables_d")) {
    if (row.at("table") == "D.4") continue;
    const double batch = row["batch"], in = row["input"], out = row["output"], all = batch * (in + out);
    const double palm = mfu_params(model("palm-540b")), mt = mfu_params(model("mt-nlg-530b"));
    check(row["ft_tp16"], all, mt, 16, a100);
    check(row["ft_tp32"], all, mt, 32, a100);
    check(row["ft_pp3_tp8"], all, mt, 24, a100);
    check(row["palm_prefill"], batch * in, palm, 64, v4);
    check(row["palm_generate"], batch * out, palm, 64, v4);
    check(row["palm_total"], all, palm, 64, v4);
    check(row["mtnlg_total"], all, mt, 64, v4);
  }
  EXPECT_GT(rows, 100);
}

std::vector<MeasuredPoint> points() { return *shipped_measured("pope2022", tpu()); }

// Cost and MFU of Figures 1, C.1 and 7 and of Tables 2 and 3, every point: both follow from the time and 2N.
TEST(Paper, MfuOfEveryPlottedPoint) {
  int checked = 0;
  for (const nlohmann::json& row : paper().at("points")) {
    if (!row.contains("mfu") || row["figure"].get<std::string>()[0] == 'D') continue;  // D: MfuOfTablesD2AndD3
    const ModelShape m = model(row["model"].get<std::string>().c_str());
    const double tokens = row["batch"].get<double>() * row["tokens"].get<double>();
    const double mfu = 2 * mfu_params(m) * tokens /
                       (row["seconds"].get<double>() * row["chips"].get<double>() * tpu().peak_flops.at("bf16"));
    EXPECT_NEAR(mfu, row["mfu"].get<double>(), 0.01) << row;
    ++checked;
  }
  EXPECT_EQ(checked, 10 + 13 + 8 + 4 + 4);
}

TEST(Paper, CostOfFigure1) {
  // Batch and printed chip-milliseconds per token of the decode curves.
  const std::map<std::string, std::map<int, double>> printed = {
      {"bf16", {{64, 36.23}, {128, 22.25}, {256, 14.22}, {512, 11.52}, {1024, 11.43}}},
      {"int8", {{64, 27.85}, {128, 18.00}, {256, 13.74}, {512, 11.81}}}};
  int checked = 0;
  for (const MeasuredPoint& p : points()) {
    if (p.where != "1 left") continue;
    const double cost = 1e3 * p.seconds * static_cast<double>(p.partition.chips()) / p.pass.total_tokens();
    const bool on_128 = p.partition.chips() == 128;
    const double expected = on_128 ? 65.85 : printed.at(p.types.weight_type).at(static_cast<int>(p.pass.sequences));
    EXPECT_NEAR(cost / expected, 1, 1e-3) << p.types.weight_type << " batch " << p.pass.sequences;
    ++checked;
  }
  EXPECT_EQ(checked, 10);
}

TEST(Paper, RooflineIsALowerBoundOfEveryMeasuredPoint) {
  for (const MeasuredPoint& p : points()) {
    EXPECT_LE(roofline_seconds(p.model, tpu(), p.partition, p.pass, p.types), p.seconds)
        << p.where << " " << p.model.name << " batch " << p.pass.sequences << " tokens " << p.pass.tokens;
  }
}

TEST(Paper, CalibratedOn540BAnd64Chips) {
  std::vector<MeasuredPoint> fitted, table3;
  for (const MeasuredPoint& p : points()) {
    if (p.fit) fitted.push_back(p);
    if (p.where == "Table 3") table3.push_back(p);
  }
  ASSERT_EQ(fitted.size(), 33u);
  HardwareSpec start = tpu();
  start.constants = Constants{};
  const auto spec = calibrate(start, fitted, FittedSet::kAccelerators);
  ASSERT_TRUE(spec.ok());
  EXPECT_LE(spec->calibration.rms, 0.07);
  // The shipped file carries this fit.
  EXPECT_NEAR(spec->calibration.rms, tpu().calibration.rms, 1e-3);
  EXPECT_NEAR(rms(residuals(tpu(), fitted)), spec->calibration.rms, 1e-3);
  // Other sizes, other slices, same constants.
  EXPECT_LE(rms(residuals(tpu(), table3)), 0.10);
}

// Residuals that docs/planner.md reports: the same constants everywhere.
TEST(Paper, SameConstantsOnEverythingElse) {
  std::map<std::string, std::vector<MeasuredPoint>> groups;
  for (const MeasuredPoint& p : points()) {
    std::string key = p.where;
    if (key[0] == 'D') key = p.decode() ? "D decode" : "D prefill";
    if (key == "8") key = p.model.kv_heads > 1 ? "8 multihead" : "8 multiquery";
    groups[key].push_back(p);
  }
  const std::vector<std::pair<const char*, double>> bounds = {
      {"Table 2", 0.03}, {"Table 3", 0.06}, {"D prefill", 0.045},    {"D decode", 0.11},
      {"6", 0.10},       {"7", 0.08},       {"8 multiquery", 0.035}, {"B.1", 0.02}};
  for (const auto& [name, bound] : bounds) EXPECT_LE(rms(residuals(tpu(), groups[name])), bound) << name;
}

// A second machine and software: tensor parallelism over two and four nodes of A100, whole requests.
TEST(FasterTransformer, TensorParallelFitAndPipelineHeldOut) {
  const HardwareSpec a100 = *find_hardware("a100-80gb");
  std::vector<MeasuredPoint> fitted, pipeline;
  const std::vector<MeasuredPoint> all = *shipped_measured("fastertransformer", a100);
  for (const MeasuredPoint& p : all) {
    (p.fit ? fitted : pipeline).push_back(p);
    EXPECT_LE(roofline_seconds(p.model, a100, p.partition, p.pass, p.types), p.seconds)
        << p.where << " batch " << p.pass.sequences;
  }
  EXPECT_EQ(fitted.size(), 51u);
  EXPECT_LE(rms(residuals(a100, fitted)), 0.035);
  EXPECT_LE(rms(residuals(a100, pipeline)), 0.16);
  HardwareSpec start = a100;
  start.constants = Constants{};
  EXPECT_LE(calibrate(start, fitted, FittedSet::kAccelerators)->calibration.rms, 0.035);
}

TEST(LeastSquares, StaysInsideTheBoxAndFindsTheMinimum) {
  LeastSquaresProblem p{{0.5, 0.5}, {0, 0}, {1, 1}, [](std::span<const double> x, std::vector<double>* r) {
                          *r = {x[0] - 2, 10 * (x[1] - 0.25), x[0] * x[1] - 0.25};
                        }};
  const auto x = least_squares(p);
  EXPECT_NEAR(x[0], 1, 1e-6);
  EXPECT_NEAR(x[1], 0.25, 1e-4);
}

}  // namespace
}  // namespace tessera
