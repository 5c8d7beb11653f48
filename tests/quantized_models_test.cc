// Every weight type in a whole model, against the same model with its weights unpacked to f32 (which golden_test compares with
// PyTorch). The weights are then equal to the bit; what differs is that products meet activations rounded to int8 or bf16.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "cli/synth.h"
#include "compress/retyped_weights.h"
#include "compress/rewrite.h"
#include "quant/block_format.h"
#include "support/engine_fixture.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLayers = 2;

// A value rounded to int8 with a scale of (largest of its block) / 127 is off by that scale / sqrt(12) rms. The largest of the
// at most 256 values of a block is below four times their rms (2.9 expected for normal values), so a product, whose terms are off
// independently of each other, is off by 4 / 127 / sqrt(12) of its own rms. From there as for bf16 (golden_test.cc): about five
// products follow each other in a layer, errors add up as squares, six standard deviations; and as errors are taken relative to
// the largest logit, which is at least three times the rms of a few hundred.
double int8_error() { return 6 * std::sqrt(5.0 * kLayers + 1) * 4 / 127 / std::sqrt(12.0) / 3; }

SynthShape small_shape() {
  SynthShape shape = *find_shape("tinyllama-1.1b");
  shape.layers = kLayers;
  shape.model_dim = 256;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 64;
  shape.ff_dim = 512;
  shape.vocab = 400;
  shape.context_tokens = 64;
  return shape;
}

class QuantizedModel : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("tessera-quantized-" + std::to_string(getpid()));
    fs::create_directories(dir_);
    const SynthOptions options{small_shape(), *find_recipe("f32"), file("f32"), 1, 2};
    const auto made = synthesize(options, [](uint64_t, uint64_t) { return true; });
    ASSERT_TRUE(made.ok()) << made.status().message();
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::string file(const std::string& name) const { return (dir_ / (name + ".gguf")).string(); }

  // The matrices of `from` as `dtype`.
  Status rewrite(const std::string& from, const std::string& to, DType dtype) {
    TESSERA_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(from));
    const auto type_of = [&](const WeightInfo& info) { return info.shape.rank() == 2 ? dtype : info.dtype; };
    ThreadPool pool(2);
    const auto go_on = [](uint64_t, uint64_t, const std::string&) { return true; };
    return rewrite_checkpoint(checkpoint, {.output = to, .quantized = true}, pool, type_of, go_on).status();
  }

  fs::path dir_;
};

class StoredType : public QuantizedModel, public ::testing::WithParamInterface<DType> {};

TEST_P(StoredType, AgreesWithItsUnpackedWeights) {
  const DType dtype = GetParam();
  ASSERT_EQ(rewrite(file("f32"), file("quantized"), dtype).message(), "");
  ASSERT_EQ(rewrite(file("quantized"), file("unpacked"), DType::kF32).message(), "");
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 40; ++i) tokens.push_back((i * i * 7 + 3) % 400);
  const auto quantized = testing::open_engine(file("quantized"), testing::exact_options());
  const auto unpacked = testing::open_engine(file("unpacked"), testing::exact_options());
  const auto expected = testing::all_logits(*unpacked, tokens, 40);
  for (const int64_t chunk : {40, 1}) {
    const auto found = testing::all_logits(*quantized, tokens, chunk);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_LT(testing::relative_error(found[i], expected[i]), dtype == DType::kF32 ? 1e-6 : int8_error()) << "row " << i;
    }
  }
}

// W8 has no file: the f32 model is loaded as W8, and as W8 unpacked. Activations have one scale per token instead of one per
// block: the largest of the at most 512 values of a row, of which those between the feed-forward matrices are products
// of two, is below eight times their rms, twice that of a block.
TEST_F(QuantizedModel, LoadedAsW8AgreesWithItsUnpackedWeights) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 40; ++i) tokens.push_back((i * i * 7 + 3) % 400);
  const auto load = [&](bool unpacked) {
    Checkpoint checkpoint = *open_checkpoint(file("f32"));
    checkpoint.weights = *choose_weights(std::move(checkpoint.weights), WeightChoice::kW8);
    if (unpacked) checkpoint.weights = *choose_weights(std::move(checkpoint.weights), WeightChoice::kF32);
    return testing::open_engine(std::move(checkpoint), testing::exact_options());
  };
  const auto w8 = load(false), unpacked = load(true);
  EXPECT_LT(w8->model().weight_bytes(), unpacked->model().weight_bytes() / 3);
  const auto expected = testing::all_logits(*unpacked, tokens, 40), found = testing::all_logits(*w8, tokens, 40);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(testing::relative_error(found[i], expected[i]), 2 * int8_error()) << "row " << i;
    EXPECT_GT(testing::relative_error(found[i], expected[i]), 1e-6) << "row " << i;  // it is another arithmetic
  }
  EXPECT_EQ(testing::all_logits(*w8, tokens, 1), found);
}

std::vector<DType> stored_types() {
  std::vector<DType> types;
  for (const DTypeInfo& info : all_dtypes()) {
    const BlockFormat* format = block_format(info.dtype);
    if (format != nullptr && format->pack != nullptr && info.ggml_id >= 0 && info.dtype != DType::kF64) types.push_back(info.dtype);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(All, StoredType, ::testing::ValuesIn(stored_types()),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace tessera
