#include "compress/retyped_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include <algorithm>

#include "formats/checkpoint.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

// llama-gqa: f32 matrices and an output head of its own; qwen2-tied: the head is the embedding.
std::unique_ptr<WeightSource> fixture(const std::string& name, WeightChoice choice) {
  auto checkpoint = open_checkpoint(TESSERA_SOURCE_DIR "/tests/golden/" + name + "/model.gguf");
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  auto weights = choose_weights(std::move(checkpoint->weights), choice);
  EXPECT_TRUE(weights.ok()) << weights.status().message();
  return *std::move(weights);
}

DType type_in(const WeightSource& weights, std::string_view name) { return weights.find(name)->dtype; }

TEST(RetypedWeights, W8TakesTheMatricesOfTheLayers) {
  const auto weights = fixture("llama-gqa", WeightChoice::kW8);
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    EXPECT_EQ(type_in(*weights, std::string("blk.0.") + name + ".weight"), DType::kW8) << name;
  }
  EXPECT_EQ(type_in(*weights, "blk.0.attn_norm.weight"), DType::kF32);
  EXPECT_EQ(type_in(*weights, "token_embd.weight"), DType::kF32);
  EXPECT_EQ(type_in(*weights, "output.weight"), DType::kQ8_0);
  EXPECT_EQ(type_in(*fixture("qwen2-tied", WeightChoice::kW8), "token_embd.weight"), DType::kQ8_0);
}

TEST(RetypedWeights, Bf16IsForMatricesOfWiderFloats) {
  const auto weights = fixture("llama-gqa", WeightChoice::kBf16);
  EXPECT_EQ(type_in(*weights, "blk.0.attn_q.weight"), DType::kBF16);
  EXPECT_EQ(type_in(*weights, "output.weight"), DType::kBF16);
  EXPECT_EQ(type_in(*weights, "blk.0.attn_norm.weight"), DType::kF32);
  EXPECT_EQ(type_in(*weights, "token_embd.weight"), DType::kF32);
  EXPECT_EQ(type_in(*fixture("qwen2-tied", WeightChoice::kBf16), "token_embd.weight"), DType::kBF16);
  auto quantized = open_checkpoint(TESSERA_SOURCE_DIR "/models/tessera-stories-5m-q8_0.gguf");
  ASSERT_TRUE(quantized.ok());
  const auto kept = choose_weights(std::move(quantized->weights), WeightChoice::kBf16);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(type_in(**kept, "blk.0.attn_q.weight"), DType::kQ8_0);

  const auto stored = fixture("llama-gqa", WeightChoice::kStored);
  const WeightInfo &from = *stored->find("blk.1.ffn_down.weight"), &to = *weights->find("blk.1.ffn_down.weight");
  std::vector<float> exact(static_cast<size_t>(from.shape.elements())), rounded(exact.size());
  unpack_rows(from.dtype, stored->read(from).bytes.data(), from.shape.rows(), from.shape.cols(), exact.data());
  unpack_rows(to.dtype, weights->read(to).bytes.data(), to.shape.rows(), to.shape.cols(), rounded.data());
  for (size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(rounded[i], exact[i], std::fabs(exact[i]) / 256) << i;
}

TEST(RetypedWeights, RowsAreThoseOfTheFileRounded) {
  const auto stored = fixture("llama-gqa", WeightChoice::kStored), w8 = fixture("llama-gqa", WeightChoice::kW8);
  const WeightInfo &from = *stored->find("blk.1.ffn_down.weight"), &to = *w8->find("blk.1.ffn_down.weight");
  const int64_t cols = from.shape.cols(), row_size = static_cast<int64_t>(*row_bytes(DType::kW8, cols));
  EXPECT_EQ(to.bytes, static_cast<uint64_t>(row_size * from.shape.rows()));
  std::vector<float> values(static_cast<size_t>(cols));
  std::vector<std::byte> expected(static_cast<size_t>(row_size));
  const WeightBytes found = w8->read_rows(to, 3, 7);
  ASSERT_EQ(found.bytes.size(), expected.size() * 4);
  for (int64_t r = 0; r < 4; ++r) {
    unpack_rows(from.dtype, stored->read_rows(from, 3 + r, 4 + r).bytes.data(), 1, cols, values.data());
    block_format(DType::kW8)->pack(values.data(), nullptr, expected.data(), cols);
    EXPECT_TRUE(std::ranges::equal(expected, found.bytes.subspan(static_cast<size_t>(r * row_size), expected.size()))) << r;
  }
}

TEST(RetypedWeights, UnpackedIsExact) {
  auto checkpoint = open_checkpoint(TESSERA_SOURCE_DIR "/models/tessera-stories-5m-q8_0.gguf");
  ASSERT_TRUE(checkpoint.ok());
  const WeightInfo info = *checkpoint->weights->find("blk.0.attn_k.weight");
  ASSERT_EQ(info.dtype, DType::kQ8_0);
  std::vector<float> expected(static_cast<size_t>(info.shape.elements())), found(expected.size());
  unpack_rows(info.dtype, checkpoint->weights->read(info).bytes.data(), info.shape.rows(), info.shape.cols(), expected.data());
  const auto f32 = choose_weights(std::move(checkpoint->weights), WeightChoice::kF32);
  ASSERT_TRUE(f32.ok());
  const WeightInfo& to = *(*f32)->find(info.name);
  unpack_rows(to.dtype, (*f32)->read(to).bytes.data(), to.shape.rows(), to.shape.cols(), found.data());
  EXPECT_EQ(found, expected);
}

TEST(RetypedWeights, NamesWhatCannotBeConverted) {
  auto checkpoint = open_checkpoint(TESSERA_SOURCE_DIR "/tests/golden/llama-gqa/model.gguf");
  ASSERT_TRUE(checkpoint.ok());
  const auto refused = retype_weights(std::move(checkpoint->weights), [](const WeightInfo&) { return DType::kI32; });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(refused.status().message().find("cannot be loaded as i32"), std::string::npos) << refused.status().message();
}

}  // namespace
}  // namespace tessera
