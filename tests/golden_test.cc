// Every folder of tests/golden: a tiny random model, as GGUF and as Hugging Face folder, against the logits that transformers
// computed (tests/golden/README.md): prefill, token by token, and greedy decoding.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/engine_fixture.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// f32 weights: 1e-4 relative. bf16 weights are exact in f32 arithmetic; what the kernels do beyond f32 is to round the inputs of
// each product to bf16 (relative 2^-9), which averages out over a row: a few times 2^-9 at the logits.
constexpr double kF32Error = 1e-4;
constexpr double kBf16Error = 1e-2;

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
    bound_ = name.ends_with("bf16") ? kBf16Error : kF32Error;
    engine_ = testing::open_engine(path_.string(), testing::exact_options());
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

TEST_P(Golden, FileAndFolderAreTheSameModel) {
  if (!std::get<1>(GetParam())) GTEST_SKIP() << "compared once";
  const auto file = testing::open_engine((dir_ / "model.gguf").string(), testing::exact_options());
  EXPECT_EQ(testing::all_logits(*engine_, tokens_, 8), testing::all_logits(*file, tokens_, 8));
}

INSTANTIATE_TEST_SUITE_P(All, Golden, ::testing::Combine(::testing::ValuesIn(golden_names()), ::testing::Bool()),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param) + (std::get<1>(info.param) ? "_folder" : "_gguf");
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tessera
