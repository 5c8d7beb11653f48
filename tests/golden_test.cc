// Every folder of tests/golden: a tiny random model, as GGUF and as Hugging Face folder, against the logits that transformers
// computed (tests/golden/README.md): prefill, token by token, and greedy decoding.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/engine_fixture.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kF32Error = 1e-4;

// bf16 weights meet inputs rounded to bf16: a relative error of at most 2^-9, 2^-9 / sqrt(3) rms, independent from input to
// input, so the output of a product is off by that fraction of its own rms. About five products follow each other in a layer (into
// attention, out of it, gate and up, down, and the softmax that passes errors of scores on); their errors add up as squares.
// Six standard deviations, because the largest of thousands of logits is looked at.
double bf16_error(int64_t layers) { return 6 * std::sqrt(5.0 * static_cast<double>(layers) + 1) * std::exp2(-9) / std::sqrt(3.0); }

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(testing::source_dir() / "tests" / "golden")) {
    if (fs::exists(entry.path() / "expected.json")) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

class Golden : public ::testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  void SetUp() override {
    const auto& [name, folder] = GetParam();
    dir_ = testing::source_dir() / "tests" / "golden" / name;
    path_ = folder ? dir_ : dir_ / "model.gguf";
    std::ifstream file(dir_ / "expected.json");
    const json expected = json::parse(file);
    prompt_ = expected["prompt"].get<std::vector<int32_t>>();
    greedy_ = expected["greedy"].get<std::vector<int32_t>>();
    vocab_ = expected["vocab"].get<size_t>();
    logits_ = testing::read_f32_file(dir_ / "expected_logits.f32");
    tokens_ = prompt_;
    tokens_.insert(tokens_.end(), greedy_.begin(), greedy_.end());
    ASSERT_EQ(logits_.size(), tokens_.size() * vocab_);
    engine_ = testing::open_engine(path_.string(), testing::exact_options());
    bound_ = name.ends_with("bf16") ? bf16_error(static_cast<int64_t>(engine_->spec().layers.size())) : kF32Error;
  }

  std::span<const float> expected(size_t row) const { return std::span(logits_).subspan(row * vocab_, vocab_); }

  fs::path dir_, path_;
  std::vector<int32_t> prompt_, greedy_, tokens_;
  size_t vocab_ = 0;
  std::vector<float> logits_;
  double bound_ = 0;
  std::unique_ptr<Engine> engine_;
};

TEST_P(Golden, Prefill) {
  const auto rows = testing::all_logits(*engine_, tokens_, static_cast<int64_t>(tokens_.size()));
  for (size_t r = 0; r < rows.size(); ++r) EXPECT_LT(testing::relative_error(rows[r], expected(r)), bound_) << "row " << r;
}

TEST_P(Golden, TokenByTokenIsPrefill) {
  const auto rows = testing::all_logits(*engine_, tokens_, static_cast<int64_t>(tokens_.size()));
  EXPECT_EQ(testing::all_logits(*engine_, tokens_, 1), rows);
}

TEST_P(Golden, Greedy) {
  EXPECT_EQ(testing::greedy(*engine_, prompt_, static_cast<int64_t>(greedy_.size())), greedy_);
}

TEST(GoldenFolders, GiveTheBitsOfTheFile) {
  std::vector<int32_t> tokens(32);
  for (int i = 0; i < 32; ++i) tokens[i] = (i * 37 + 11) % 100;
  for (const std::string& name : golden_names()) {
    const fs::path dir = testing::source_dir() / "tests" / "golden" / name;
    const auto folder = testing::open_engine(dir.string(), testing::exact_options());
    const auto file = testing::open_engine((dir / "model.gguf").string(), testing::exact_options());
    EXPECT_EQ(testing::all_logits(*folder, tokens, 8), testing::all_logits(*file, tokens, 8)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Golden, ::testing::Combine(::testing::ValuesIn(golden_names()), ::testing::Bool()),
                         [](const auto& param_info) {
                           std::string name = std::get<0>(param_info.param) + (std::get<1>(param_info.param) ? "_folder" : "_gguf");
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tessera
