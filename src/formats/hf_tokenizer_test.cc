#include "formats/hf_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "formats/checkpoint.h"
#include "formats/hf_pretokenizer.h"
#include "formats/sentencepiece.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string data(const std::string& name) { return std::string(TESSERA_SOURCE_DIR) + "/../shared/data/" + name; }

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(stream)), {}};
}

Result<Metadata> translate(const HfTokenizerFiles& files, const std::string& config = "{}") {
  const json parsed = json::parse(config);
  Metadata metadata;
  TESSERA_RETURN_IF_ERROR(translate_hf_tokenizer(files, JsonFields(parsed, "config.json"), &metadata));
  return metadata;
}

const std::vector<std::string>& texts(const Metadata& m, const char* key) { return **m.text_array(key); }

constexpr std::string_view kSmallByteLevel = R"({
  "added_tokens": [{"id": 4, "content": "<|end|>", "special": true, "rstrip": true},
                   {"id": 6, "content": "  ", "special": false}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|end|>"}}, {"Sequence": {"id": "A"}}]},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "aab": 3}, "merges": ["a b", ["a", "ab"]]}})";

TEST(HfTokenizer, ByteLevelBpe) {
  auto m = translate({.tokenizer_json = kSmallByteLevel,
                      .tokenizer_config = R"({"bos_token": "<|end|>", "eos_token": {"content": "<|end|>"}})",
                      .generation_config = R"({"eos_token_id": [4, 3]})"},
                     R"({"vocab_size": 9})");
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(*m->text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(*m->text("tokenizer.ggml.pre"), "gpt-2");
  EXPECT_EQ(texts(*m, "tokenizer.ggml.tokens"),
            (std::vector<std::string>{"a", "b", "ab", "aab", "<|end|>", "[PAD5]", "  ", "[PAD7]", "[PAD8]"}));
  EXPECT_EQ(*m->i64_array("tokenizer.ggml.token_type"), (std::vector<int64_t>{1, 1, 1, 1, 3, 5, 4, 5, 5}));
  EXPECT_EQ(texts(*m, "tokenizer.ggml.merges"), (std::vector<std::string>{"a b", "a ab"}));
  EXPECT_EQ(*m->u64("tokenizer.ggml.bos_token_id"), 4u);
  EXPECT_EQ(*m->i64_array("tokenizer.tessera.eos_token_ids"), (std::vector<int64_t>{4, 3}));
  EXPECT_EQ(*m->u64("tokenizer.ggml.eot_token_id"), 3u);
  EXPECT_TRUE(*m->boolean("tokenizer.ggml.add_bos_token"));
  EXPECT_FALSE(*m->boolean("tokenizer.ggml.add_eos_token"));
  EXPECT_EQ(*m->text("tokenizer.tessera.normalizer"), "nfc");
  EXPECT_EQ(*m->i64_array("tokenizer.tessera.rstrip_token_ids"), (std::vector<int64_t>{4}));
  EXPECT_FALSE(m->contains("tokenizer.tessera.lstrip_token_ids"));
}

TEST(HfTokenizer, ByteLevelSpacePrefix) {
  const auto with = [](const char* pre_tokenizer) {
    const std::string file = std::string(R"({"pre_tokenizer": )") + pre_tokenizer +
                             R"(, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})";
    return translate({.tokenizer_json = file});
  };
  const auto prefix = [](const Result<Metadata>& m) { return m.ok() && *m->boolean("tokenizer.ggml.add_space_prefix"); };
  EXPECT_TRUE(prefix(with(R"({"type": "ByteLevel"})")));
  EXPECT_TRUE(prefix(with(R"({"type": "ByteLevel", "add_prefix_space": true})")));
  EXPECT_FALSE(prefix(with(R"({"type": "ByteLevel", "add_prefix_space": false})")));
  EXPECT_EQ(with(R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
                     {"type": "ByteLevel", "add_prefix_space": true}]})")
                .status()
                .message(),
            "tokenizer.json: pre_tokenizer: ByteLevel: add_prefix_space after another step");
}

TEST(HfTokenizer, WordPiece) {
  auto m = translate({.tokenizer_json = R"({"normalizer": {"type": "BertNormalizer", "lowercase": false},
      "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "the": 1, "##ing": 2}}})"});
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(texts(*m, "tokenizer.ggml.tokens"), (std::vector<std::string>{"[UNK]", "\u2581the", "ing"}));
  EXPECT_EQ(*m->i64_array("tokenizer.ggml.token_type"), (std::vector<int64_t>{2, 1, 1}));
  EXPECT_FALSE(*m->boolean("tokenizer.ggml.normalizer.lowercase"));
}

TEST(HfTokenizer, ChatTemplates) {
  const HfTokenizerFiles one{.tokenizer_json = kSmallByteLevel, .tokenizer_config = R"({"chat_template": "A"})"};
  EXPECT_EQ(*translate(one)->text("tokenizer.chat_template"), "A");
  auto list = translate({.tokenizer_json = kSmallByteLevel,
                         .tokenizer_config = R"({"chat_template": [{"name": "default", "template": "A"},
                                                                   {"name": "tool_use", "template": "B"}]})"});
  ASSERT_TRUE(list.ok()) << list.status().message();
  EXPECT_EQ(*list->text("tokenizer.chat_template"), "A");
  EXPECT_EQ(*list->text("tokenizer.chat_template.tool_use"), "B");
  EXPECT_EQ(texts(*list, "tokenizer.chat_templates"), (std::vector<std::string>{"tool_use"}));
  const HfTokenizerFiles file{
      .tokenizer_json = kSmallByteLevel, .tokenizer_config = R"({"chat_template": "A"})", .chat_template = "C"};
  EXPECT_EQ(*translate(file)->text("tokenizer.chat_template"), "C");
}

TEST(HfTokenizer, UnknownPreTokenizerIsRefused) {
  const auto split = [](const char* regex) {
    return json{
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}}, {{"type", "ByteLevel"}, {"use_regex", false}}}}};
  };
  EXPECT_EQ(
      *recognize_pre_tokenizer(split(
          R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)")),
      "llama-bpe");
  const auto refused = recognize_pre_tokenizer(split("[a-z]+"));
  EXPECT_EQ(refused.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(refused.status().message(), "pre_tokenizer: the steps [[a-z]+] are not known");
  EXPECT_EQ(*recognize_pre_tokenizer(
                json{{"type", "Sequence"},
                     {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, {{"type", "ByteLevel"}}}}}),
            "smollm");
}

TEST(HfTokenizer, NamesWhatIsWrong) {
  const auto message = [](const char* tokenizer) {
    return translate({.tokenizer_json = tokenizer}).status().message();
  };
  EXPECT_EQ(message("{}"), "tokenizer.json: model: expected an object");
  EXPECT_EQ(message("[1"), "tokenizer.json: not valid JSON");
  EXPECT_EQ(message(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})"),
            "tokenizer.json: model.vocab: \"a\": expected an id below 65537, found -1");
  EXPECT_EQ(message(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})"),
            "tokenizer.json: model.vocab: id 0 given twice");
  EXPECT_EQ(message(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}})"),
            "tokenizer.json: model.merges: \"a\": expected two parts");
  EXPECT_EQ(translate({.tokenizer_json = kSmallByteLevel}, R"({"vocab_size": 2})").status().message(),
            "vocab_size: expected at least the tokenizer's 4, found 2");
  EXPECT_EQ(translate({.tokenizer_json = kSmallByteLevel}, R"({"vocab_size": 4000000})").status().message(),
            "vocab_size: 4000000 with a tokenizer of 7 tokens");
}

TEST(HfTokenizerRealFiles, Llama2FromJsonAndFromSentencePiece) {
  if (!fs::exists(data("tok-llama2"))) GTEST_SKIP() << "no " << data("tok-llama2");
  auto gguf = open_checkpoint(data("tok-ggml-vocab/ggml-vocab-llama-spm.gguf"));
  ASSERT_TRUE(gguf.ok()) << gguf.status().message();
  const std::string tokenizer = read_file(data("tok-llama2/tokenizer.json"));
  const std::string model = read_file(data("tok-llama2/tokenizer.model"));
  const std::string settings = read_file(data("tok-llama2/tokenizer_config.json"));
  auto from_json = translate({.tokenizer_json = tokenizer, .tokenizer_config = settings}, R"({"vocab_size": 32000})");
  auto from_model = translate({.tokenizer_json = tokenizer, .tokenizer_model = model, .tokenizer_config = settings});
  auto alone = translate({.tokenizer_model = model, .tokenizer_config = settings});
  for (auto* m : {&from_json, &from_model, &alone}) {
    ASSERT_TRUE(m->ok()) << m->status().message();
    for (const char* key : {"model", "tokens", "token_type", "bos_token_id", "eos_token_id", "unknown_token_id",
                            "add_bos_token", "add_eos_token"}) {
      const std::string full = std::string("tokenizer.ggml.") + key;
      EXPECT_TRUE(*(*m)->find(full) == *gguf->metadata.find(full)) << full;
    }
  }
  EXPECT_TRUE(*from_model->find("tokenizer.ggml.scores") == *gguf->metadata.find("tokenizer.ggml.scores"));
  // From merges alone: the same order wherever two pieces join. (Runs of "\u2581" are placed elsewhere by that file.)
  const auto ours = *from_json->number_array("tokenizer.ggml.scores");
  const auto theirs = *gguf->metadata.number_array("tokenizer.ggml.scores");
  size_t merged = 0;
  double previous = 1;
  for (size_t i = 259; i < ours.size(); ++i) {
    const std::string& token = texts(*from_json, "tokenizer.ggml.tokens")[i];
    if (ours[i] == -1e6f || token.starts_with("\u2581\u2581")) continue;
    ++merged;
    ASSERT_LT(ours[i], previous) << i << " " << token;
    ASSERT_LT(theirs[i], 1) << i;
    previous = ours[i];
  }
  EXPECT_GT(merged, 29000u);
}

TEST(HfTokenizerRealFiles, Phi2HasGpt2Vocabulary) {
  if (!fs::exists(data("tok-hf-json"))) GTEST_SKIP() << "no " << data("tok-hf-json");
  auto gguf = open_checkpoint(data("tok-ggml-vocab/ggml-vocab-gpt-2.gguf"));
  const std::string tokenizer = read_file(data("tok-hf-json/phi-2/tokenizer.json"));
  auto m = translate({.tokenizer_json = tokenizer}, R"({"vocab_size": 51200})");
  ASSERT_TRUE(m.ok()) << m.status().message();
  auto tokens = texts(*m, "tokenizer.ggml.tokens");
  EXPECT_EQ(tokens.size(), 51200u);
  tokens.resize(50257);
  EXPECT_EQ(tokens, texts(gguf->metadata, "tokenizer.ggml.tokens"));
  EXPECT_TRUE(*m->find("tokenizer.ggml.merges") == *gguf->metadata.find("tokenizer.ggml.merges"));
}

TEST(HfTokenizerRealFiles, OtherKinds) {
  if (!fs::exists(data("tok-hf-json"))) GTEST_SKIP() << "no " << data("tok-hf-json");
  const std::string t5 = read_file(data("tok-hf-json/t5-small/tokenizer.json"));
  auto m = translate({.tokenizer_json = t5, .tokenizer_config = R"({"eos_token": "</s>"})"});
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(*m->text("tokenizer.ggml.model"), "t5");
  EXPECT_TRUE(*m->boolean("tokenizer.ggml.add_eos_token"));
  EXPECT_GT(m->i64_array("tokenizer.ggml.precompiled_charsmap")->size(), 100000u);
  const std::string phi3 = read_file(data("tok-hf-json/phi-3-mini/tokenizer.json"));
  const std::string phi3_config = read_file(data("tok-hf-json/phi-3-mini/tokenizer_config.json"));
  m = translate({.tokenizer_json = phi3, .tokenizer_config = phi3_config}, R"({"vocab_size": 32064})");
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(*m->text("tokenizer.ggml.model"), "llama");
  EXPECT_TRUE(m->contains("tokenizer.chat_template"));
  EXPECT_GT(m->i64_array("tokenizer.tessera.rstrip_token_ids")->size(), 5u);
}

TEST(SentencePiece, RealModels) {
  if (!fs::exists(data("tok-sentencepiece"))) GTEST_SKIP() << "no " << data("tok-sentencepiece");
  for (const char* name : {"sp.model", "test_ja_model.model", "test_model.model", "wmtende.model"}) {
    const std::string bytes = read_file(data(std::string("tok-sentencepiece/") + name));
    auto model = parse_sentencepiece(std::as_bytes(std::span(bytes)));
    ASSERT_TRUE(model.ok()) << name << ": " << model.status().message();
    EXPECT_GT(model->pieces.size(), 500u) << name;
    EXPECT_EQ(model->pieces.size(), model->scores.size());
  }
}

TEST(HfTokenizerRealFiles, FolderHasTheTokensOfItsGguf) {
  for (const char* name : {"stories260K-hf-gguf", "babyllama361-hf-gguf"}) {
    if (!fs::exists(data(name))) GTEST_SKIP() << "no " << data(name);
    auto gguf = open_checkpoint(data(name) + "/model-f32.gguf");
    auto folder = open_checkpoint(data(name));
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    for (const auto& [key, value] : gguf->metadata) {
      if (!key.starts_with("tokenizer.") || key == "tokenizer.ggml.scores") continue;
      ASSERT_TRUE(folder->metadata.contains(key)) << key;
      EXPECT_TRUE(*folder->metadata.find(key) == value)
          << key << ": " << describe_value(*folder->metadata.find(key)) << " instead of " << describe_value(value);
    }
  }
}

}  // namespace
}  // namespace tessera
