// Real vocabularies against ids that their original tokenizers gave: ../shared/data/tok-ggml-vocab holds texts (.inp,
// separated by a marker line) and ids (.out, a line each). Skipped where that folder is absent.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "formats/checkpoint.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace tessera {
namespace {

using Ids = std::vector<int32_t>;

std::string data_folder() { return std::string(TESSERA_SOURCE_DIR) + "/../shared/data/"; }

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

struct Vectors {
  std::vector<std::string> texts;
  std::vector<Ids> ids;
};

Vectors read_vectors(const std::string& name) {
  Vectors vectors;
  const std::string base = data_folder() + "tok-ggml-vocab/ggml-vocab-" + name + ".gguf";
  const std::string input = read_file(base + ".inp");
  const std::string marker = "\n__ggml_vocab_test__\n";
  for (size_t begin = 0; begin < input.size();) {
    const size_t end = input.find(marker, begin);
    vectors.texts.push_back(input.substr(begin, end == std::string::npos ? end : end - begin));
    if (end == std::string::npos) break;
    begin = end + marker.size();
  }
  std::istringstream output(read_file(base + ".out"));
  for (std::string line; std::getline(output, line);) {
    std::istringstream numbers(line);
    Ids ids;
    for (int32_t id; numbers >> id;) ids.push_back(id);
    vectors.ids.push_back(ids);
  }
  return vectors;
}

void expect_exact(const Tokenizer& tokenizer, const std::string& name, bool lossless = true) {
  const Vectors vectors = read_vectors(name);
  ASSERT_GE(vectors.ids.size(), 46u);
  for (size_t i = 0; i < vectors.ids.size(); ++i) {
    // The last text may be empty, and then has no separator after it.
    const std::string text = i < vectors.texts.size() ? vectors.texts[i] : "";
    EXPECT_EQ(tokenizer.encode(text, {.add_special = false}), vectors.ids[i]) << name << " " << i << ": " << text;
    if (lossless) {
      EXPECT_EQ(tokenizer.decode(vectors.ids[i]), text) << name << " " << i;
    }
  }
}

class Ggml : public testing::TestWithParam<const char*> {};

TEST_P(Ggml, Exact) {
  const std::string name = GetParam();
  const std::string path = data_folder() + "tok-ggml-vocab/ggml-vocab-" + name + ".gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  auto checkpoint = open_checkpoint(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  auto tokenizer = create_tokenizer(checkpoint->metadata);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  expect_exact(**tokenizer, name, name != "bert-bge");
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Ggml,
                         testing::Values("gpt-2", "llama-spm", "phi-3", "falcon", "deepseek-llm", "starcoder",
                                         "bert-bge"));

std::string base64_decode(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char* at = std::strchr(alphabet, c);
    if (at == nullptr || c == '\0') break;
    bits = bits << 6 | static_cast<uint32_t>(at - alphabet);
    count += 6;
    if (count >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8) & 0xff));
  }
  return bytes;
}

std::string to_alphabet(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += byte_alphabet()[static_cast<uint8_t>(c)];
  return text;
}

// A tiktoken file lists tokens by rank and no merges: any two tokens whose joined bytes are a token merge, at its rank.
Metadata metadata_from_tiktoken(const std::string& path, const std::string& pre) {
  std::vector<std::string> bytes;
  std::istringstream lines(read_file(path));
  for (std::string token, rank; lines >> token >> rank;) bytes.push_back(base64_decode(token));
  std::map<std::string_view, size_t> ranks;
  for (size_t i = 0; i < bytes.size(); ++i) ranks.emplace(bytes[i], i);
  std::vector<std::string> tokens, merges;
  for (const std::string& token : bytes) {
    tokens.push_back(to_alphabet(token));
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const std::string_view view = token;
      if (!ranks.contains(view.substr(0, cut)) || !ranks.contains(view.substr(cut))) continue;
      merges.push_back(to_alphabet(view.substr(0, cut)) + " " + to_alphabet(view.substr(cut)));
    }
  }
  Metadata metadata;
  metadata.set("tokenizer.ggml.model", "gpt2");
  metadata.set("tokenizer.ggml.pre", pre.c_str());
  metadata.set("tokenizer.ggml.tokens", MetadataValue(MetadataArray(std::move(tokens))));
  metadata.set("tokenizer.ggml.merges", MetadataValue(MetadataArray(std::move(merges))));
  return metadata;
}

TEST(Llama3, Exact) {
  const std::string path = data_folder() + "tok-llama3/tokenizer.model";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  auto tokenizer = create_tokenizer(metadata_from_tiktoken(path, "llama-bpe"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  expect_exact(**tokenizer, "llama-bpe");
}

TEST(Qwen2, Exact) {
  const std::string folder = data_folder() + "tok-qwen/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  const auto vocab = nlohmann::json::parse(read_file(folder + "vocab.json"));
  std::vector<std::string> tokens(vocab.size());
  for (const auto& [text, id] : vocab.items()) tokens.at(id.get<size_t>()) = text;
  std::vector<std::string> merges;
  std::istringstream lines(read_file(folder + "merges.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  }
  Metadata metadata;
  metadata.set("tokenizer.ggml.model", "gpt2");
  metadata.set("tokenizer.ggml.pre", "qwen2");
  metadata.set("tokenizer.ggml.tokens", MetadataValue(MetadataArray(std::move(tokens))));
  metadata.set("tokenizer.ggml.merges", MetadataValue(MetadataArray(std::move(merges))));
  auto tokenizer = create_tokenizer(metadata);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  expect_exact(**tokenizer, "qwen2");
}

}  // namespace
}  // namespace tessera
