// Checkpoints that somebody made to break the readers. Each must be refused with one line that names the field, and
// refusing must not take more memory than the file is worth: operator new is replaced here to count.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>

#include "formats/checkpoint.h"
#include "formats/hostile_files.h"

namespace {
std::atomic<uint64_t> g_allocated{0};  // since the last reset
}  // namespace

// Not inlined: the compiler would complain about free() for memory from operator new.
[[gnu::noinline]] void* operator new(size_t bytes) {
  g_allocated += bytes;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tessera {
namespace {

namespace fs = std::filesystem;

enum : uint32_t { kU16 = 2, kU32 = 4, kBool = 7, kString = 8, kArray = 9, kU64 = 10 };
constexpr uint32_t kF32Tensor = 0, kQ4Tensor = 2, kIq2Tensor = 16;

struct Case {
  std::string bytes;
  const char* field;  // what the message must contain
};

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("tessera_hostile_{}", getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    written_ += bytes.size();
    return (folder_ / name).string();
  }

  void expect_refused(const std::string& path, std::string_view field) {
    g_allocated = 0;
    const auto opened = open_checkpoint(path);
    const uint64_t allocated = g_allocated;
    EXPECT_LE(allocated, (4u << 20) + 8 * written_) << field;
    ASSERT_FALSE(opened.ok()) << "accepted, expected an error about " << field;
    const std::string& message = opened.status().message();
    EXPECT_NE(message.find(field), std::string::npos) << "no " << field << " in: " << message;
    EXPECT_TRUE(std::ranges::none_of(message, [](unsigned char c) { return c < 0x20; })) << message;
    EXPECT_LT(message.size(), 1000u) << message;
  }

  void expect_refused_gguf(const std::vector<Case>& cases) {
    for (size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE(fmt::format("case {}", i));
      written_ = 0;
      expect_refused(write("m.gguf", cases[i].bytes), cases[i].field);
    }
  }

  fs::path folder_;
  uint64_t written_ = 0;
};

std::string pair_file(const std::string& pair) { return gguf_file({pair}, {}, 0); }
std::string tensor_file(const std::string& tensor, size_t data_bytes = 64) {
  return gguf_file({}, {tensor}, data_bytes);
}
std::string valid_gguf() {
  return gguf_file({gguf_pair("general.architecture", kString, gguf_text("llama")),
                    gguf_pair("a.list", kArray, gguf_array(kString, 2, gguf_text("x") + gguf_text("y")))},
                   {gguf_tensor("one", {8, 2}, kF32Tensor, 0)}, 64);
}

TEST_F(Hostile, GgufPreamble) {
  std::string no_magic = valid_gguf();
  no_magic[0] = 'X';
  expect_refused_gguf({
      {"", "preamble"},
      {"GGUF", "preamble"},
      {"GG", "preamble"},
      {no_magic, "magic"},
      {std::string(1 << 16, '\xff'), "magic"},
      {gguf_preamble(0, 0, 0), "version"},
      {gguf_preamble(0, 0, 1), "version"},
      {gguf_preamble(0, 0, 4), "version"},
      {gguf_preamble(0, 0, 0x03000000), "big-endian"},
      {gguf_preamble(0, ~0ull), "metadata count"},
      {gguf_preamble(0, 1), "metadata count"},
      {gguf_preamble(~0ull, 0), "tensor count"},
      {gguf_preamble(1ull << 61, 0) + std::string(1000, '\0'), "tensor count"},
  });
}

TEST_F(Hostile, GgufPairs) {
  const std::string number = gguf_pair("a.key", kU32, u32(1));
  expect_refused_gguf({
      {gguf_preamble(0, 1) + u64(1ull << 40) + std::string(64, 'k'), "metadata key 0"},
      {gguf_preamble(0, 1) + u64(~0ull) + std::string(64, 'k'), "metadata key 0"},
      {gguf_preamble(0, 1) + u64(60000) + std::string(64, 'k'), "metadata key 0"},
      {pair_file(gguf_pair("", kU32, u32(1))), "metadata key 0"},
      {pair_file(gguf_pair(std::string(65536, 'k'), kU32, u32(1))), "metadata key 0"},
      {gguf_file({number, number}, {}, 0), "a.key"},
      {pair_file(gguf_pair("a\nkey", 99, u64(1))), "a\\nkey"},
      {pair_file(gguf_pair("a.key", 13, u64(1))), "a.key"},
      {pair_file(gguf_pair("a.key", ~0u, u64(1))), "a.key"},
      {pair_file(gguf_pair("a.key", kBool, "\2")), "a.key"},
      {pair_file(gguf_pair("a.key", kString, u64(1ull << 62))), "a.key"},
      {pair_file(gguf_pair("a.key", kString, u64(~0ull))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(kArray, 1, gguf_array(kU32, 1, u32(1))))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(77, 1, u32(1)))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(kU32, ~0ull, u32(1)))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(kU64, 1ull << 61, u64(1)))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(kString, 1000000, u64(1)))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(kString, 1, u64(1ull << 50)))), "a.key"},
      {pair_file(gguf_pair("a.key", kArray, gguf_array(kBool, 3, std::string("\0\1\2", 3)))), "a.key"},
  });
}

TEST_F(Hostile, GgufAlignment) {
  std::vector<Case> cases;
  for (const uint32_t alignment : {0u, 3u, 48u, 1u << 30, ~0u}) {
    cases.push_back({pair_file(gguf_pair("general.alignment", kU32, u32(alignment))), "general.alignment"});
  }
  cases.push_back({pair_file(gguf_pair("general.alignment", kString, gguf_text("32"))), "general.alignment"});
  cases.push_back({pair_file(gguf_pair("general.alignment", kU64, u64(1ull << 63))), "general.alignment"});
  expect_refused_gguf(cases);
}

TEST_F(Hostile, GgufTensors) {
  const auto f32 = [](const char* name, uint64_t elements, uint64_t offset) {
    return gguf_tensor(name, {elements}, kF32Tensor, offset);
  };
  expect_refused_gguf({
      {gguf_preamble(1, 0) + u64(1ull << 40) + std::string(64, 't'), "name of tensor 0"},
      {tensor_file(gguf_tensor(std::string(256, 't'), {8}, kF32Tensor, 0)), "name of tensor 0"},
      {tensor_file(gguf_tensor("", {8}, kF32Tensor, 0)), "name of tensor 0"},
      {gguf_file({}, {f32("t.w", 8, 0), f32("t.w", 8, 32)}, 64), "t.w"},
      {tensor_file(gguf_tensor("t.w", {}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {1, 1, 1, 1, 1}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_text("t.w") + u32(~0u) + std::string(64, '\0')), "t.w"},
      {tensor_file(gguf_tensor("t.w", {8, 0}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {1ull << 32, 1ull << 32}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {~0ull}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {1ull << 62}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {3, 1ull << 31, 1ull << 31, 5}, kF32Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {33}, kQ4Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {16, 4}, kQ4Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {256}, kIq2Tensor, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {256}, 4, 0)), "t.w"},
      {tensor_file(gguf_tensor("t.w", {256}, ~0u, 0)), "t.w"},
      {tensor_file(f32("t.w", 8, 4)), "t.w"},
      {tensor_file(f32("t.w", 8, 1ull << 40)), "t.w"},
      {tensor_file(f32("t.w", 8, ~31ull)), "t.w"},
      {tensor_file(f32("t.w", 17, 0)), "t.w"},
      {tensor_file(f32("t.w", 8, 64)), "t.w"},
      {gguf_file({}, {f32("t.w", 16, 0), f32("t.x", 8, 32)}, 64), "t.x"},
      {gguf_file({}, {f32("t.w", 8, 32), f32("t.x", 16, 0)}, 64), "t.w"},
  });
}

TEST_F(Hostile, GgufCutAnywhere) {
  const std::string whole = valid_gguf();
  ASSERT_TRUE(open_checkpoint(write("m.gguf", whole)).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(fmt::format("{} of {} bytes", size, whole.size()));
    written_ = 0;
    expect_refused(write("m.gguf", whole.substr(0, size)), "m.gguf: ");
  }
}

std::string split_file(uint64_t number, uint64_t count, const char* tensor) {
  return gguf_file({gguf_pair("split.no", kU64, u64(number)), gguf_pair("split.count", kU64, u64(count)),
                    gguf_pair("split.tensors.count", kU16, std::string("\2\0", 2))},
                   {gguf_tensor(tensor, {8}, kF32Tensor, 0)}, 32);
}

TEST_F(Hostile, GgufSplitSets) {
  expect_refused_gguf({
      {split_file(0, ~0ull, "one"), "split.count"},
      {split_file(0, 2, "one"), "split.count"},  // the name does not say so
      {split_file(2, 2, "one"), "split.no"},
      {gguf_file({gguf_pair("split.count", kString, gguf_text("2"))}, {}, 0), "split.count"},
  });
  fs::remove(folder_ / "m.gguf");
  const std::string first = write("m-00001-of-00002.gguf", split_file(0, 2, "one"));
  expect_refused(first, "m-00002-of-00002.gguf: no such file");
  const std::vector<Case> seconds = {
      {"garbage.", "m-00002-of-00002.gguf: magic"},   {split_file(0, 2, "two"), "expected file 2 of 2"},
      {split_file(1, 3, "two"), "found file 2 of 3"}, {split_file(1, 2, "one"), "one: tensor is in two files"},
      {gguf_file({}, {}, 0), "found file 1 of 1"},
  };
  for (const Case& second : seconds) {
    write("m-00002-of-00002.gguf", second.bytes);
    expect_refused(first, second.field);
  }
  write("m-00001-of-00099.gguf", split_file(0, 99, "one"));
  expect_refused((folder_ / "m-00001-of-00099.gguf").string(), "m-00002-of-00099.gguf: no such file");
}

// A folder with one weight that opens; each test replaces one thing.
using Fields = std::map<std::string, std::string>;
std::string config_json(const Fields& changes = {}) {
  Fields fields = {{"architectures", "[\"LlamaForCausalLM\"]"},
                   {"hidden_size", "4"},
                   {"intermediate_size", "8"},
                   {"num_hidden_layers", "1"},
                   {"vocab_size", "2"},
                   {"num_attention_heads", "2"},
                   {"max_position_embeddings", "16"}};
  for (const auto& [key, value] : changes) fields[key] = value;
  std::string text;
  for (const auto& [key, value] : fields) text += fmt::format("{}\"{}\": {}", text.empty() ? "{" : ", ", key, value);
  return text + "}";
}
std::string entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"dtype": {}, "shape": {}, "data_offsets": {}}})", dtype, shape, offsets);
}
std::string weight_file(const std::string& entry_text, size_t data_bytes = 32) {
  return safetensors_file("{\"lm_head.weight\": " + entry_text + "}", data_bytes);
}
std::string valid_weights() { return weight_file(entry("\"F32\"", "[2, 4]", "[0, 32]")); }

TEST_F(Hostile, SafetensorsHeader) {
  write("config.json", config_json());
  const std::string good = entry("\"F32\"", "[2, 4]", "[0, 32]");
  const auto pair_of = [&](const std::string& a, const std::string& b) {
    return safetensors_file("{\"a\": " + a + ", \"b\": " + b + "}", 64);
  };
  const std::vector<Case> cases = {
      {"", "header length"},
      {"1234567", "header length"},
      {u64(~0ull), "header length"},
      {u64(99'999'999) + "{}", "header length"},
      {u64(3) + "{}", "header length"},
      {safetensors_file("", 8), "header"},
      {safetensors_file("{", 8), "header"},
      {safetensors_file("null", 8), "header"},
      {safetensors_file("-1", 8), "header"},
      {safetensors_file("[]", 8), "header"},
      {safetensors_file("{\"a\": 1e999}", 8), "header"},
      {safetensors_file(std::string(200000, '['), 8), "header"},
      {safetensors_file("{\"a\": " + std::string(200000, '['), 8), "header"},
      {safetensors_file("{\"\xff\xfe\": {}}", 8), "header"},
      {safetensors_file("{\"__metadata__\": {\"a\": {}}}", 8), "header"},
      {safetensors_file("{\"a\": {}}", 8), "a: expected dtype"},
      {pair_of(good, good), "overlaps"},
      {pair_of(good, entry("\"F32\"", "[2, 4]", "[28, 60]")), "b: data_offsets"},
      {safetensors_file("{\"a\": " + good + ", \"a\": " + good + "}", 64), "a: tensor given twice"},
      {safetensors_file("{\"a\": " + good + "} {}", 64), "header"},
  };
  for (const Case& item : cases) {
    written_ = 0;
    write("model.safetensors", item.bytes);
    expect_refused(folder_.string(), item.field);
  }
}

TEST_F(Hostile, SafetensorsEntries) {
  write("config.json", config_json());
  const std::vector<Case> cases = {
      {entry("\"F32\"", "[2, 4]", "[32, 0]"), "data_offsets"},
      {entry("\"F32\"", "[2, 4]", "[0, 32, 64]"), "data_offsets"},
      {entry("\"F32\"", "[2, 4]", "[0]"), "data_offsets"},
      {entry("\"F32\"", "[2, 4]", "[-32, 0]"), "lm_head.weight"},
      {entry("\"F32\"", "[2, 4]", "[8, 40]"), "data_offsets"},
      {entry("\"F32\"", "[2, 4]", "[18446744073709551583, 18446744073709551615]"), "data_offsets"},
      {entry("\"F32\"", "[2, 4]", "[0, 28]"), "data_offsets"},
      {entry("\"F32\"", "[2, 4]", "\"0, 32\""), "data_offsets"},
      {entry("\"F32\"", "[4294967296, 4294967296, 4294967296]", "[0, 32]"), "shape"},
      {entry("\"F32\"", "[2, 99999999999999999999]", "[0, 32]"), "shape"},
      {entry("\"F32\"", "[2, 4.0]", "[0, 32]"), "shape"},
      {entry("\"F32\"", "[1, 1, 1, 1, 1, 1, 1, 2, 4]", "[0, 32]"), "shape"},
      {entry("\"F32\"", "[2, 4, 1, 1, 1]", "[0, 32]"), "shape"},
      {entry("\"F32\"", "[]", "[0, 4]"), "shape"},
      {entry("\"F32\"", "[0, 4]", "[0, 0]"), "lm_head.weight"},
      {entry("\"F33\"", "[2, 4]", "[0, 32]"), "dtype"},
      {entry("\"I32\"", "[2, 4]", "[0, 32]"), "dtype"},
      {entry("32", "[2, 4]", "[0, 32]"), "dtype"},
      {R"({"dtype": "F32", "dtype": "F16", "shape": [2, 4], "data_offsets": [0, 16]})", "dtype"},
  };
  for (const Case& item : cases) {
    written_ = 0;
    write("model.safetensors", weight_file(item.bytes));
    expect_refused(folder_.string(), item.field);
  }
  const std::string whole = valid_weights();
  for (size_t size = 0; size < whole.size(); ++size) {
    write("model.safetensors", whole.substr(0, size));
    expect_refused(folder_.string(), "model.safetensors: ");
  }
  write("model.safetensors", whole);
  EXPECT_TRUE(open_checkpoint(folder_.string()).ok());
}

TEST_F(Hostile, ShardIndex) {
  write("config.json", config_json());
  write("model.safetensors", valid_weights());
  const std::vector<Case> cases = {
      {"", "index.json"},
      {"[]", "index.json"},
      {"{}", "weight_map"},
      {R"({"weight_map": []})", "weight_map"},
      {R"({"weight_map": {}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": 1}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": ""}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": ".."}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": "../../etc/passwd"}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": "/etc/passwd"}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": "a\u0000b"}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": "a\nb"}})", "weight_map"},
      {R"({"weight_map": {"lm_head.weight": "absent.safetensors"}})", "absent.safetensors: no such file"},
      {R"({"weight_map": {"lm_head.weight": "config.json"}})", "header length"},
      {R"({"weight_map": {"norm.weight": "model.safetensors"}})", "lm_head.weight"},
      {R"({"weight_map": {"lm_head.weight": "model.safetensors", "norm.weight": "model.safetensors"}})", "norm.weight"},
      {"{\"weight_map\": " + std::string(100000, '['), "nested deeper"},
  };
  for (const Case& item : cases) {
    written_ = 0;
    write("model.safetensors.index.json", item.bytes);
    expect_refused(folder_.string(), item.field);
  }
}

TEST_F(Hostile, ConfigValues) {
  write("model.safetensors", valid_weights());
  const std::string llama3 = R"({"rope_type": "llama3", "low_freq_factor": 1, "high_freq_factor": 4, )";
  const std::vector<std::pair<const char*, std::string>> cases = {
      {"architectures", "[]"},
      {"architectures", "[7]"},
      {"architectures", "\"LlamaForCausalLM\""},
      {"architectures", "[\"A\\nB\"]"},
      {"num_hidden_layers", "0"},
      {"num_hidden_layers", "-1"},
      {"num_hidden_layers", "1000000000000"},
      {"num_hidden_layers", "18446744073709551615"},
      {"num_hidden_layers", "1.5"},
      {"num_hidden_layers", "\"1\""},
      {"num_hidden_layers", "null"},
      {"hidden_size", "9007199254740993"},
      {"intermediate_size", "{}"},
      {"vocab_size", "1099511627776"},
      {"num_attention_heads", "0"},
      {"num_key_value_heads", "[]"},
      {"head_dim", "7"},
      {"max_position_embeddings", "true"},
      {"rms_norm_eps", "\"small\""},
      {"rms_norm_eps", "1e300"},
      {"rope_theta", "0"},
      {"rope_theta", "1e300"},
      {"rope_scaling", "[]"},
      {"rope_type", "{}"},
      {"tie_word_embeddings", "1"},
      {"hidden_act", "\"rm -rf\""},
  };
  for (const auto& [key, value] : cases) {
    SCOPED_TRACE(value);
    written_ = 0;
    const bool scaling = std::string_view(key) == "rope_type";
    write("config.json",
          scaling ? config_json({{"rope_scaling", "{\"rope_type\": " + value + "}"}}) : config_json({{key, value}}));
    expect_refused(folder_.string(), key);
  }
  for (const std::string& scaling :
       {llama3 + R"("factor": -1, "original_max_position_embeddings": 8})", std::string(R"({"type": "linear"})"),
        std::string(R"({"type": "linear", "factor": "8"})"),
        std::string(R"({"type": "yarn", "factor": 1e-9, "attention_factor": 1})")}) {
    write("config.json", config_json({{"rope_scaling", scaling}}));
    expect_refused(folder_.string(), "factor");
  }
}

TEST_F(Hostile, ConfigText) {
  write("model.safetensors", valid_weights());
  for (const std::string& text : {std::string(), std::string("{"), std::string("[]"), std::string("{\"\xff\": 1}"),
                                  std::string(100000, '['), std::string((4u << 20) + 1, ' ')}) {
    written_ = 0;
    write("config.json", text);
    expect_refused(folder_.string(), "config.json: ");
  }
}

// Ids may leave gaps, but a small file must not ask for millions of unused tokens.
TEST_F(Hostile, TokenizerIds) {
  write("model.safetensors", valid_weights());
  std::string added;
  for (int id = 65536; id < 4'000'000; id += 65536)
    added += fmt::format(R"({}{{"id": {}, "content": "t{}"}})", added.empty() ? "" : ", ", id - 1, id);
  const auto tokenizer = [](const std::string& vocab, const std::string& added_tokens) {
    return R"({"model": {"type": "BPE", "byte_fallback": true, "merges": [], "vocab": )" + vocab +
           "}, \"added_tokens\": [" + added_tokens + "]}";
  };
  const std::vector<Case> cases = {
      {tokenizer(R"({"a": 4000000})", ""), "model.vocab"},   {tokenizer(R"({"a": -1})", ""), "model.vocab"},
      {tokenizer(R"({"a": 0, "b": 0})", ""), "model.vocab"}, {tokenizer(R"({"a": 0})", added), "added token"},
      {tokenizer(R"({"a": 0})", ""), "vocab_size"},
  };
  write("config.json", config_json({{"vocab_size", "4194304"}}));
  for (const Case& item : cases) {
    written_ = 0;
    write("tokenizer.json", item.bytes);
    expect_refused(folder_.string(), item.field);
  }
}

}  // namespace
}  // namespace tessera
