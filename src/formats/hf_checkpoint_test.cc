#include "formats/hf_checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "quant/block_format.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::vector<float> read_f32(const Checkpoint& checkpoint, std::string_view name) {
  const WeightInfo* weight = checkpoint.weights->find(name);
  if (weight == nullptr) return {};
  std::vector<float> out(static_cast<size_t>(weight->shape.elements()));
  const WeightBytes bytes = checkpoint.weights->read(*weight);
  unpack_rows(weight->dtype, bytes.bytes.data(), weight->shape.rows(), weight->shape.cols(), out.data());
  return out;
}

// Keys that only one of the two writers knows.
bool comparable(const std::string& key) {
  return !key.starts_with("tokenizer.") && key != "general.name" && key != "general.file_type" &&
         !key.ends_with(".attention.key_length") && !key.ends_with(".attention.value_length");
}

void expect_same_model(const Checkpoint& gguf, const Checkpoint& folder) {
  for (const auto& [key, value] : gguf.metadata) {
    if (!comparable(key)) continue;
    ASSERT_NE(folder.metadata.find(key), nullptr) << key;
    EXPECT_EQ(describe_value(*folder.metadata.find(key)), describe_value(value)) << key;
  }
  for (const auto& [key, value] : folder.metadata) {
    if (comparable(key)) EXPECT_TRUE(gguf.metadata.contains(key)) << key;
  }
  ASSERT_EQ(gguf.weights->weights().size(), folder.weights->weights().size());
  for (const WeightInfo& weight : gguf.weights->weights()) {
    const WeightInfo* other = folder.weights->find(weight.name);
    ASSERT_NE(other, nullptr) << weight.name;
    EXPECT_EQ(other->shape, weight.shape) << weight.name;
    EXPECT_EQ(read_f32(folder, weight.name), read_f32(gguf, weight.name)) << weight.name;
  }
}

class GoldenModel : public testing::TestWithParam<const char*> {};

TEST_P(GoldenModel, FolderEqualsGguf) {
  const std::string folder = std::string(TESSERA_SOURCE_DIR) + "/tests/golden/" + GetParam();
  auto gguf = open_checkpoint(folder + "/model.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  auto huggingface = open_checkpoint(folder);
  ASSERT_TRUE(huggingface.ok()) << huggingface.status().message();
  EXPECT_EQ(huggingface->format, "huggingface");
  expect_same_model(*gguf, *huggingface);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel,
                         testing::Values("gpt2", "llama-gqa", "llama-gqa-bf16", "llama-odd", "llama-rope-linear",
                                         "llama-rope-llama3", "llama-rope-yarn", "mistral-window", "qwen2-tied",
                                         "qwen2-untied", "qwen3"),
                         [](const auto& item) {
                           std::string name = item.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(HfCheckpoint, RealFoldersEqualTheirGguf) {
  for (const char* name : {"stories260K-hf-gguf", "babyllama361-hf-gguf"}) {
    const std::string folder = std::string(TESSERA_SOURCE_DIR) + "/../shared/data/" + name;
    if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
    auto gguf = open_checkpoint(folder + "/model-f32.gguf");
    auto huggingface = open_checkpoint(folder);
    ASSERT_TRUE(gguf.ok()) << gguf.status().message();
    ASSERT_TRUE(huggingface.ok()) << huggingface.status().message();
    expect_same_model(*gguf, *huggingface);
  }
}

// Rows of a rearranged weight read in pieces equal the whole.
TEST(HfCheckpoint, PiecesOfRearrangedWeightsEqualTheWhole) {
  for (const auto& [model, name] : {std::pair{"llama-gqa", "blk.1.attn_q.weight"}, {"gpt2", "blk.1.ffn_up.weight"}}) {
    auto opened = open_checkpoint(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/" + model);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const WeightInfo& weight = *opened->weights->find(name);
    const auto whole = opened->weights->read(weight);
    std::vector<std::byte> pieces;
    for (int64_t r = 0; r < weight.shape.rows(); r += 5) {
      const auto piece = opened->weights->read_rows(weight, r, std::min(r + 5, weight.shape.rows()));
      pieces.insert(pieces.end(), piece.bytes.begin(), piece.bytes.end());
    }
    EXPECT_TRUE(std::ranges::equal(pieces, whole.bytes)) << model;
  }
}

TEST(HfCheckpoint, HeaderOnlySaysWhatAFolderLacks) {
  const fs::path folder = fs::temp_directory_path() / ("tessera-hf-" + std::to_string(getpid()));
  fs::copy(std::string(TESSERA_SOURCE_DIR) + "/tests/golden/llama-gqa", folder);
  const fs::path file = folder / "model.safetensors";
  auto complete = open_checkpoint(folder, {.header_only = true});
  ASSERT_TRUE(complete.ok()) << complete.status().message();
  EXPECT_EQ(complete->missing_bytes, 0u);
  fs::resize_file(file, fs::file_size(file) - 1000);
  EXPECT_FALSE(open_checkpoint(folder).ok());
  auto opened = open_checkpoint(folder, {.header_only = true});
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->missing_bytes, 1000u);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace tessera
