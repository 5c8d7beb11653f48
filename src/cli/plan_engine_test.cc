// The planner's counts against the answers of the very objects that run: it plans models that nobody has loaded, from a
// header or a name, so it counts by formula; Transformer::cost() sums what each mixer and feed-forward declares. If either
// changes alone, this fails.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "attention/dense.h"
#include "cli/synth.h"
#include "formats/checkpoint.h"
#include "model/transformer.h"
#include "planner/cost.h"
#include "planner/shape_checkpoint.h"

namespace tessera {
namespace {

struct Case {
  const char* like;
  const char* type;
};

SynthShape small_shape(const char* like) {
  SynthShape shape = *find_shape(like);
  shape.layers = 5;  // the "medium" mixes treat layers differently
  shape.model_dim = 256;
  shape.heads = 8;
  shape.kv_heads = like == std::string("gpt2") ? 8 : 2;
  shape.head_dim = like == std::string("gpt2") ? 32 : 64;
  shape.ff_dim = 768;
  shape.vocab = 1056;
  shape.context_tokens = 256;
  return shape;
}

class PlanEngine : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + fmt::format("plan_engine_{}_{}.gguf", GetParam().like, GetParam().type);
    const SynthOptions options{small_shape(GetParam().like), *find_recipe(GetParam().type), path_, 1, 2};
    ASSERT_TRUE(synthesize(options, [](uint64_t, uint64_t) { return true; }).ok());
    auto checkpoint = open_checkpoint(path_);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    auto shape = shape_from_checkpoint(*checkpoint);
    ASSERT_TRUE(shape.ok()) << shape.status().message();
    shape_ = *shape;
    auto spec = model_spec(checkpoint->metadata, *checkpoint->weights);
    ASSERT_TRUE(spec.ok()) << spec.status().message();
    auto model = Transformer::load(*std::move(spec), std::move(checkpoint->weights), pool_,
                                   [](uint64_t, uint64_t) { return true; });
    ASSERT_TRUE(model.ok()) << model.status().message();
    model_ = *std::move(model);
    types_.weight_type.clear();  // as stored
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string path_;
  ThreadPool pool_{2};
  ModelShape shape_;
  NumberTypes types_;
  std::unique_ptr<Transformer> model_;
};

TEST_P(PlanEngine, CountTheSameOperationsAndBytes) {
  HardwareSpec hardware = *find_hardware("epyc-9654");
  ASSERT_TRUE(hardware.compute_in_int8 && hardware.causal_skip);
  const Pass passes[] = {{1, 1, 0}, {1, 1, 1984}, {8, 1, 100}, {1, 512, 0}, {1, 128, 300}, {4, 64, 10}};
  for (const Pass& pass : passes) {
    SCOPED_TRACE(fmt::format("{} x {} tokens at {}", pass.sequences, pass.tokens, pass.context));
    const PassCost planned = predict_pass(shape_, hardware, {}, pass, types_);
    const StepCost declared = model_->cost({pass.sequences * pass.tokens, pass.sequences, pass.context});
    const double operations = declared.matmul_flops + declared.attention_flops;
    EXPECT_NEAR(planned.flops / operations, 1, 1e-12);
    EXPECT_NEAR(planned.kv_bytes / declared.state_bytes, 1, 1e-12);
  }
}

TEST_P(PlanEngine, WeightsAreTheFilesBytesTimesTheGrowthOfPacking) {
  const PassCost planned = predict_pass(shape_, *find_hardware("epyc-9654"), {}, {1, 1, 0}, types_);
  const WeightSizes sizes = *weight_sizes(shape_, types_, static_cast<double>(shape_.heads));
  const double output = sizes.output > 0 ? sizes.output : sizes.embedding;
  EXPECT_DOUBLE_EQ(planned.weight_bytes, sizes.stack + output);
  const double packed = sizes.stack * packed_growth(shape_, types_) + output * packed_growth(shape_.stored_output_type);
  // What the planner leaves out: 4 bytes a row of some types, 0.1 to 0.4 % of rows of 2048 to 5632 columns.
  const auto row_bytes = [](const std::string& type) { return type == "q4_0" || type == "q5_0" || type == "q8_0" ? 4.0 : 0.0; };
  const double layer_rows = static_cast<double>((shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim + 2 * shape_.model_dim +
                                                (shape_.ff_matrices - 1) * shape_.ff_dim);
  const double left_out = static_cast<double>(shape_.layers) * layer_rows * row_bytes(shape_.stored_type) +
                          static_cast<double>(shape_.vocab) * row_bytes(shape_.stored_output_type);
  EXPECT_NEAR((packed + left_out) / static_cast<double>(model_->weight_bytes()), 1, 1e-12);
  EXPECT_EQ(model_->cost({}).weight_bytes, static_cast<double>(model_->weight_bytes()));
}

TEST(PlanEngineCache, ElementsTakeWhatPagesHold) {
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (int64_t head_dim : {32, 64, 128, 256}) {
      SCOPED_TRACE(fmt::format("{}, heads of {}", to_string(type), head_dim));
      DenseAttentionSettings settings;
      settings.kv_heads = 4;
      settings.head_dim = head_dim;
      settings.k_dtype = settings.v_dtype = type;
      const auto bytes = page_element_bytes(to_string(type), head_dim);
      ASSERT_TRUE(bytes.ok()) << bytes.status().message();
      const double elements = 2.0 * 4 * static_cast<double>(head_dim * kPageTokens);
      EXPECT_DOUBLE_EQ(*bytes * elements, static_cast<double>(dense_attention_state(settings).page_bytes));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, PlanEngine,
                         testing::Values(Case{"tinyllama-1.1b", "q4_k_m"}, Case{"tinyllama-1.1b", "q4_0"},
                                         Case{"qwen2.5-0.5b", "q8_0"}, Case{"qwen3-0.6b", "f16"},
                                         Case{"qwen3-0.6b", "q6_k"}, Case{"gpt2", "q5_k_m"}, Case{"gpt2", "bf16"}),
                         [](const auto& test) {
                           std::string name = fmt::format("{}_{}", test.param.like, test.param.type);
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace tessera
