#include "cli/synth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "formats/checkpoint.h"
#include "model/spec.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

SynthShape small_shape(const char* like) {
  SynthShape shape = *find_shape(like);
  shape.layers = 4;
  shape.model_dim = 256;
  shape.heads = 8;
  shape.kv_heads = like == std::string("gpt2") ? 8 : 2;
  shape.head_dim = 32;
  shape.ff_dim = 512;
  shape.vocab = 1000;
  shape.context_tokens = 128;
  return shape;
}

class SynthFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  Result<SynthResult> write(const SynthShape& shape, const char* type, uint64_t seed = 1) {
    SynthOptions options{shape, *find_recipe(type), path_, seed, 2};
    return synthesize(options, [](uint64_t, uint64_t) { return true; });
  }
  std::string bytes() const {
    std::string data(std::filesystem::file_size(path_), '\0');
    std::FILE* file = std::fopen(path_.c_str(), "rb");
    EXPECT_EQ(std::fread(data.data(), 1, data.size(), file), data.size());
    std::fclose(file);
    return data;
  }
  std::string path_ =
      testing::TempDir() + "synth_" + testing::UnitTest::GetInstance()->current_test_info()->name() + ".gguf";
};

TEST_F(SynthFile, OpensAsTheModelItImitates) {
  for (const char* like : {"tinyllama-1.1b", "qwen2.5-0.5b", "qwen3-0.6b", "gpt2"}) {
    const SynthShape shape = small_shape(like);
    const auto written = write(shape, "q8_0");
    ASSERT_TRUE(written.ok()) << like << ": " << written.status().message();
    auto checkpoint = open_checkpoint(path_);
    ASSERT_TRUE(checkpoint.ok()) << like << ": " << checkpoint.status().message();
    const auto spec = model_spec(checkpoint->metadata, *checkpoint->weights);
    ASSERT_TRUE(spec.ok()) << like << ": " << spec.status().message();
    EXPECT_EQ(spec->model_dim, shape.model_dim);
    EXPECT_EQ(spec->vocab, shape.vocab);
    EXPECT_EQ(static_cast<int64_t>(spec->layers.size()), shape.layers);
    EXPECT_EQ(spec->tied_embeddings, shape.tied_embeddings);
    EXPECT_EQ(spec->qk_norm, shape.qk_norm);
    EXPECT_EQ(spec->layers[0].attention.kv_heads, shape.kv_heads);
    EXPECT_EQ((*checkpoint->metadata.text_array("tokenizer.ggml.tokens"))->size(), 1000u);
  }
}

TEST_F(SynthFile, EveryTypeIsWrittenAndReadBack) {
  for (const char* type : {"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k_m", "q4_k_s",
                           "q4_k_m", "q5_k_m", "q6_k", "iq4_nl"}) {
    const auto written = write(small_shape("tinyllama-1.1b"), type);
    ASSERT_TRUE(written.ok()) << type << ": " << written.status().message();
    auto checkpoint = open_checkpoint(path_);
    ASSERT_TRUE(checkpoint.ok()) << type << ": " << checkpoint.status().message();
    const WeightInfo* info = checkpoint->weights->find("blk.0.ffn_gate.weight");
    ASSERT_NE(info, nullptr);
    std::vector<float> values(info->shape.elements());
    const WeightBytes stored = checkpoint->weights->read(*info);
    unpack_rows(info->dtype, stored.bytes.data(), info->shape.rows(), info->shape.cols(), values.data());
    double squares = 0;
    for (const float v : values) squares += v * v;
    EXPECT_NEAR(std::sqrt(squares / values.size()), 1.0 / 16, 0.01) << type;  // 1 / sqrt(256)
  }
}

TEST_F(SynthFile, SameSeedSameFile) {
  const SynthShape shape = small_shape("tinyllama-1.1b");
  ASSERT_TRUE(write(shape, "q4_0", 7).ok());
  const std::string first = bytes();
  ASSERT_TRUE(write(shape, "q4_0", 7).ok());
  EXPECT_TRUE(bytes() == first);
  ASSERT_TRUE(write(shape, "q4_0", 8).ok());
  EXPECT_FALSE(bytes() == first);
}

TEST_F(SynthFile, CancelLeavesNothing) {
  SynthOptions options{small_shape("tinyllama-1.1b"), *find_recipe("q4_0"), path_, 1, 1};
  const auto result = synthesize(options, [](uint64_t, uint64_t) { return false; });
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

DType type_of(const char* shape_name, const char* recipe, const std::string& tensor) {
  const SynthShape shape = *find_shape(shape_name);
  for (const SynthTensor& t : synth_tensors(shape)) {
    if (t.name == tensor) return recipe_dtype(*find_recipe(recipe), mix_model(shape), t.place, t.shape);
  }
  ADD_FAILURE() << tensor;
  return DType::kF32;
}

TEST(WeightRecipe, PublishedMixes) {
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_0", "output.weight"), DType::kQ6_K);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q8_0", "output.weight"), DType::kQ8_0);
  EXPECT_EQ(type_of("tinyllama-1.1b", "bf16", "output.weight"), DType::kBF16);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_0", "token_embd.weight"), DType::kQ4_0);
  EXPECT_EQ(type_of("llama-3.2-1b", "q4_0", "token_embd.weight"), DType::kQ6_K);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_k_m", "blk.0.attn_v.weight"), DType::kQ6_K);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_k_m", "blk.2.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_k_m", "blk.4.ffn_down.weight"), DType::kQ6_K);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_k_m", "blk.4.attn_q.weight"), DType::kQ4_K);
  EXPECT_EQ(type_of("tinyllama-1.1b", "q4_k_m", "blk.4.attn_norm.weight"), DType::kF32);
  // 896 columns are no multiple of 256.
  EXPECT_EQ(type_of("qwen2.5-0.5b", "q4_k_m", "blk.4.attn_q.weight"), DType::kQ5_0);
  EXPECT_EQ(type_of("qwen2.5-0.5b", "q4_0", "token_embd.weight"), DType::kQ8_0);
  EXPECT_TRUE(find_recipe("Q4_K_M").ok());
  EXPECT_FALSE(find_recipe("q4_9").ok());
  EXPECT_EQ(recipe_names().size(), 20u);
}

TEST(WeightRecipe, PlaceFollowsFromTheName) {
  EXPECT_EQ(place_of("blk.12.attn_v.weight").layer, 12);
  EXPECT_TRUE(place_of("blk.12.attn_v.weight").role == TensorRole::kValue);
  EXPECT_TRUE(place_of("blk.0.attn_q_norm.weight").role == TensorRole::kNorm);
  EXPECT_TRUE(place_of("blk.0.attn_q.bias").role == TensorRole::kBias);
  for (const char* odd :
       {"", "blk.", "blk.x", "blk.1", "blk.99999999999999999999.attn_v.weight", "rope_freqs.weight"}) {
    EXPECT_LE(place_of(odd).layer, 1) << odd;
  }
  // Every matrix of the shapes that synth writes has a role.
  for (const SynthShape& shape : known_shapes()) {
    for (const SynthTensor& t : synth_tensors(shape)) EXPECT_FALSE(t.place.role == TensorRole::kOther) << t.name;
  }
}

// The size of the file that the reference quantizer makes of this shape.
TEST(WeightRecipe, BytesOfTinyLlama) {
  const SynthShape shape = *find_shape("tinyllama-1.1b");
  const auto total = [&](const char* recipe) {
    uint64_t bytes = 0;
    for (const SynthTensor& t : synth_tensors(shape)) {
      bytes += *row_bytes(recipe_dtype(*find_recipe(recipe), mix_model(shape), t.place, t.shape), t.shape.cols()) *
               t.shape.rows();
    }
    return bytes;
  };
  EXPECT_EQ(total("q4_0"), 635990016u);
  EXPECT_EQ(total("q4_k_m"), 667078656u);
  EXPECT_EQ(total("q8_0"), 1169072128u);
}

TEST(SynthShape, ValidatesAndNames) {
  for (const SynthShape& shape : known_shapes()) EXPECT_TRUE(validate(shape).ok()) << shape.name;
  SynthShape shape = *find_shape("gpt2");
  shape.kv_heads = 5;
  EXPECT_FALSE(validate(shape).ok());
  shape = *find_shape("gpt2");
  shape.vocab = 100;
  EXPECT_NE(validate(shape).message().find("--vocab 100"), std::string::npos);
  EXPECT_FALSE(find_shape("gpt9").ok());

  const Metadata metadata = synth_metadata(*find_shape("tinyllama-1.1b"), 2);
  const auto tokens = metadata.text_array("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(std::set<std::string>((*tokens)->begin(), (*tokens)->end()).size(), 32000u);  // all distinct
}

}  // namespace
}  // namespace tessera
