#include "cli/synth_shape.h"

#include <utility>

namespace tessera {
namespace {

// layers, model_dim, heads, kv_heads, head_dim, ff_dim, vocab, context; from the public configuration files.
const SynthShape kShapes[] = {
    {"tinyllama-1.1b", "llama", 22, 2048, 32, 4, 64, 5632, 32000, 2048, 1e4, 1e-5},
    {"llama-2-7b", "llama", 32, 4096, 32, 32, 128, 11008, 32000, 4096, 1e4, 1e-5},
    {"llama-2-13b", "llama", 40, 5120, 40, 40, 128, 13824, 32000, 4096, 1e4, 1e-5},
    {"mistral-7b", "llama", 32, 4096, 32, 8, 128, 14336, 32768, 32768, 1e6, 1e-5},
    {"llama-3-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 8192, 5e5, 1e-5},
    {"llama-3.2-1b", "llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 5e5, 1e-5, true},
    {"llama-3.2-3b", "llama", 28, 3072, 24, 8, 128, 8192, 128256, 131072, 5e5, 1e-5, true},
    {"smollm2-135m", "llama", 30, 576, 9, 3, 64, 1536, 49152, 8192, 1e5, 1e-5, true},
    {"smollm2-360m", "llama", 32, 960, 15, 5, 64, 2560, 49152, 8192, 1e5, 1e-5, true},
    {"qwen2.5-0.5b", "qwen2", 24, 896, 14, 2, 64, 4864, 151936, 32768, 1e6, 1e-6, true, true},
    {"qwen2.5-1.5b", "qwen2", 28, 1536, 12, 2, 128, 8960, 151936, 131072, 1e6, 1e-6, true, true},
    {"qwen2.5-7b", "qwen2", 28, 3584, 28, 4, 128, 18944, 152064, 131072, 1e6, 1e-6, false, true},
    {"qwen3-0.6b", "qwen3", 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1e6, 1e-6, true, false, true},
    {"qwen3-1.7b", "qwen3", 28, 2048, 16, 8, 128, 6144, 151936, 40960, 1e6, 1e-6, true, false, true},
    {"qwen3-8b", "qwen3", 36, 4096, 32, 8, 128, 12288, 151936, 40960, 1e6, 1e-6, false, false, true},
    {"gpt2", "gpt2", 12, 768, 12, 12, 64, 3072, 50257, 1024, 1e4, 1e-5, true},
    {"gpt2-medium", "gpt2", 24, 1024, 16, 16, 64, 4096, 50257, 1024, 1e4, 1e-5, true},
    {"gpt2-xl", "gpt2", 48, 1600, 25, 25, 64, 6400, 50257, 1024, 1e4, 1e-5, true},
};

constexpr int64_t kSpecialTokens = 3 + 256;

class TensorList {
 public:
  explicit TensorList(const SynthShape& shape) : s_(shape), gpt2_(shape.architecture == "gpt2") {}

  std::vector<SynthTensor> build() {
    add("token_embd.weight", {s_.vocab, s_.model_dim});
    if (gpt2_) add("position_embd.weight", {s_.context_tokens, s_.model_dim});
    for (layer_ = 0; layer_ < s_.layers; ++layer_) add_layer();
    layer_ = -1;
    norm("output_norm", s_.model_dim);
    if (!s_.tied_embeddings) add("output.weight", {s_.vocab, s_.model_dim});
    return std::move(list_);
  }

 private:
  void add(std::string name, Shape shape) {
    if (layer_ >= 0) name = "blk." + std::to_string(layer_) + "." + name;
    const TensorPlace place = place_of(name);
    list_.push_back({std::move(name), shape, place});
  }
  void norm(const std::string& name, int64_t dim) {
    add(name + ".weight", {dim});
    if (gpt2_) add(name + ".bias", {dim});
  }
  void matrix(const std::string& name, int64_t rows, int64_t cols, bool bias) {
    add(name + ".weight", {rows, cols});
    if (bias) add(name + ".bias", {rows});
  }
  void add_layer() {
    const int64_t q_dim = s_.heads * s_.head_dim, kv_dim = s_.kv_heads * s_.head_dim;
    norm("attn_norm", s_.model_dim);
    if (gpt2_) {
      matrix("attn_qkv", q_dim + 2 * kv_dim, s_.model_dim, true);
    } else {
      matrix("attn_q", q_dim, s_.model_dim, s_.qkv_bias);
      matrix("attn_k", kv_dim, s_.model_dim, s_.qkv_bias);
      matrix("attn_v", kv_dim, s_.model_dim, s_.qkv_bias);
    }
    if (s_.qk_norm) {
      norm("attn_q_norm", s_.head_dim);
      norm("attn_k_norm", s_.head_dim);
    }
    matrix("attn_output", s_.model_dim, q_dim, gpt2_);
    norm("ffn_norm", s_.model_dim);
    if (!gpt2_) matrix("ffn_gate", s_.ff_dim, s_.model_dim, false);
    matrix("ffn_up", s_.ff_dim, s_.model_dim, gpt2_);
    matrix("ffn_down", s_.model_dim, s_.ff_dim, gpt2_);
  }

  const SynthShape& s_;
  bool gpt2_;
  int64_t layer_ = -1;
  std::vector<SynthTensor> list_;
};

// The n-th made-up piece: letters in base 26, every other one with the word mark in front. All are distinct.
std::string piece(int64_t n) {
  std::string letters;
  for (int64_t rest = n / 2;; rest = rest / 26 - 1) {
    letters.insert(letters.begin(), static_cast<char>('a' + rest % 26));
    if (rest < 26) break;
  }
  return n % 2 == 0 ? "\xe2\x96\x81" + letters : letters;
}

void add_vocabulary(const SynthShape& shape, Metadata& metadata) {
  enum : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(kByte);
  }
  for (int64_t n = 0; static_cast<int64_t>(tokens.size()) < shape.vocab; ++n) {
    tokens.push_back(piece(n));
    types.push_back(kNormal);
  }
  std::vector<float> scores(tokens.size(), 0.0f);
  for (size_t i = kSpecialTokens; i < scores.size(); ++i) scores[i] = -static_cast<float>(i - kSpecialTokens);
  const auto scalar = [](auto value) { return MetadataValue(MetadataScalar(value)); };
  metadata.set("tokenizer.ggml.model", "llama");
  metadata.set("tokenizer.ggml.pre", "default");
  metadata.set("tokenizer.ggml.tokens", MetadataValue(MetadataArray(std::move(tokens))));
  metadata.set("tokenizer.ggml.scores", MetadataValue(MetadataArray(std::move(scores))));
  metadata.set("tokenizer.ggml.token_type", MetadataValue(MetadataArray(std::move(types))));
  metadata.set("tokenizer.ggml.unknown_token_id", scalar(uint32_t{0}));
  metadata.set("tokenizer.ggml.bos_token_id", scalar(uint32_t{1}));
  metadata.set("tokenizer.ggml.eos_token_id", scalar(uint32_t{2}));
  metadata.set("tokenizer.ggml.add_bos_token", scalar(true));
}

}  // namespace

std::span<const SynthShape> known_shapes() { return kShapes; }

Result<SynthShape> find_shape(std::string_view name) {
  std::string names;
  for (const SynthShape& shape : kShapes) {
    if (shape.name == name) return shape;
    names += (names.empty() ? "" : ", ") + shape.name;
  }
  return not_found("--like {}: no such shape; known: {}", name, names);
}

Status validate(const SynthShape& s) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"--layers", s.layers},     {"--dim", s.model_dim}, {"--heads", s.heads}, {"--kv-heads", s.kv_heads},
      {"--head-dim", s.head_dim}, {"--ff", s.ff_dim},     {"--vocab", s.vocab}, {"--context", s.context_tokens}};
  constexpr int64_t kMost = 1 << 20;
  for (const auto& [option, value] : sizes) {
    if (value < 1 || value > kMost) return invalid_argument("{} {}: expected 1 to {}", option, value, kMost);
  }
  if (s.layers > 1024) return invalid_argument("--layers {}: expected 1 to 1024", s.layers);
  if (s.heads % s.kv_heads != 0) {
    return invalid_argument("--kv-heads {}: expected a divisor of --heads {}", s.kv_heads, s.heads);
  }
  if (s.head_dim % 2 != 0) return invalid_argument("--head-dim {}: expected an even number", s.head_dim);
  if (s.vocab <= kSpecialTokens) return invalid_argument("--vocab {}: expected more than {}", s.vocab, kSpecialTokens);
  return {};
}

MixModel mix_model(const SynthShape& s) { return {s.layers, s.heads, s.kv_heads, s.tied_embeddings}; }

std::vector<SynthTensor> synth_tensors(const SynthShape& shape) { return TensorList(shape).build(); }

Metadata synth_metadata(const SynthShape& s, uint64_t file_type) {
  Metadata m;
  const std::string prefix = s.architecture + ".";
  const auto u32 = [&](const std::string& key, uint64_t value) {
    m.set(key, MetadataValue(MetadataScalar(static_cast<uint32_t>(value))));
  };
  const auto f32 = [&](const std::string& key, double value) {
    m.set(key, MetadataValue(MetadataScalar(static_cast<float>(value))));
  };
  m.set("general.architecture", s.architecture.c_str());
  m.set("general.name", (s.name + " (random weights)").c_str());
  u32("general.file_type", file_type);
  u32("general.quantization_version", 2);
  u32(prefix + "context_length", s.context_tokens);
  u32(prefix + "embedding_length", s.model_dim);
  u32(prefix + "block_count", s.layers);
  u32(prefix + "feed_forward_length", s.ff_dim);
  u32(prefix + "attention.head_count", s.heads);
  u32(prefix + "vocab_size", s.vocab);
  if (s.architecture == "gpt2") {
    f32(prefix + "attention.layer_norm_epsilon", s.norm_eps);
  } else {
    u32(prefix + "attention.head_count_kv", s.kv_heads);
    u32(prefix + "attention.key_length", s.head_dim);
    u32(prefix + "attention.value_length", s.head_dim);
    f32(prefix + "attention.layer_norm_rms_epsilon", s.norm_eps);
    u32(prefix + "rope.dimension_count", s.head_dim);
    f32(prefix + "rope.freq_base", s.rope_base);
  }
  add_vocabulary(s, m);
  return m;
}

}  // namespace tessera
