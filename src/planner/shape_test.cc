#include "planner/shape.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "planner/resolve.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
const std::string kRoot = TESSERA_SOURCE_DIR;

TEST(Shape, EveryShippedModelParsesAndHasItsPublishedSize) {
  const std::vector<std::pair<const char*, double>> sizes = {
      {"llama-2-7b", 6.74e9},      {"llama-2-70b", 68.98e9}, {"llama-3-8b", 8.03e9}, {"llama-3-70b", 70.55e9},
      {"llama-3.1-405b", 405.9e9}, {"qwen2.5-7b", 7.62e9},   {"mistral-7b", 7.24e9}, {"mixtral-8x7b", 46.7e9},
      {"qwen3-30b-a3b", 30.5e9},   {"gpt2", 124e6}};
  for (const auto& [name, params] : sizes)
    EXPECT_NEAR(total_params(*find_shipped_model(name)) / params, 1, 0.01) << name;
  for (const std::string& name : shipped_models()) {
    const auto m = find_shipped_model(name);
    ASSERT_TRUE(m.ok()) << m.status().message();
    EXPECT_FALSE(m->source.empty());
  }
}

TEST(Shape, WindowsAndSparseFeedForwards) {
  ModelShape m = *find_shipped_model("llama-3-8b");
  EXPECT_EQ(kept_tokens(m, 5000), 5000);
  m.window_tokens = 1000;
  EXPECT_EQ(kept_tokens(m, 5000), 1000);
  m.full_attention_every = 2;
  EXPECT_EQ(kept_tokens(m, 5000), 3000);
  const ModelShape sparse = *find_shipped_model("scaling-800m-sparse-ff");
  EXPECT_NEAR(touched_ff_fraction(sparse, 1), 1.0 / 64, 1e-12);
  EXPECT_GT(touched_ff_fraction(sparse, 512), 0.99);
}

TEST(Shape, FromConfigJsonAlone) {
  const auto m = shape_from_config_json(
      R"({"model_type":"qwen2","hidden_size":3584,"num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,
          "intermediate_size":18944,"vocab_size":152064,"tie_word_embeddings":false,"torch_dtype":"bfloat16"})",
      "config.json");
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(total_params(*m), total_params(*find_shipped_model("qwen2.5-7b")));
  EXPECT_EQ(m->stored_type, "bf16");
  EXPECT_EQ(shape_from_config_json(R"({"hidden_size":"big"})", "c").status().message(),
            "c: field 'hidden_size': expected a number, found \"big\"");
  EXPECT_FALSE(shape_from_config_json("{}", "c").ok());
}

TEST(Shape, FromTheFirstBytesOfAGguf) {
  const std::string whole = kRoot + "/models/tessera-stories-5m-q8_0.gguf";
  if (!fs::exists(whole)) GTEST_SKIP() << whole << " is absent";
  const auto complete = resolve_model(whole);
  ASSERT_TRUE(complete.ok()) << complete.status().message();
  EXPECT_EQ(complete->stored_type, "q8_0");
  EXPECT_NEAR(total_params(*complete) / 5e6, 1, 0.4);
  const double file = static_cast<double>(fs::file_size(whole));
  const double weights =
      complete->stored_stack_bytes + complete->stored_embedding_bytes + complete->stored_output_bytes;
  EXPECT_LT(weights, file);
  EXPECT_GT(weights, 0.8 * file);

  const std::string part = testing::TempDir() + "/part.gguf";
  std::ifstream in(whole, std::ios::binary);
  std::string bytes(1 << 20, 0);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  std::ofstream(part, std::ios::binary) << bytes.substr(0, static_cast<size_t>(in.gcount()));
  const auto header = resolve_model(part);
  ASSERT_TRUE(header.ok()) << header.status().message();
  EXPECT_EQ(header->stored_stack_bytes, complete->stored_stack_bytes);
  fs::remove(part);
}

TEST(Shape, UnknownNamesListTheKnown) {
  const auto m = resolve_model("no-such-model");
  EXPECT_NE(m.status().message().find("llama-3-8b"), std::string::npos);
}

}  // namespace
}  // namespace tessera
