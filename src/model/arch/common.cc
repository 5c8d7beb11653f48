// Reading of the keys that the families share. Every size is checked against a limit before anything is derived from it, so
// that no product of two of them overflows.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "model/arch/arch.h"
#include "quant/block_format.h"

namespace tessera {
namespace {

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxDim = 1 << 24;
constexpr int64_t kMaxContext = int64_t{1} << 30;

class Keys {
 public:
  explicit Keys(const ArchInput& input) : metadata_(input.metadata), prefix_(input.prefix) {}

  std::string name(std::string_view key) const { return prefix_ + "." + std::string(key); }

  Result<int64_t> size(std::string_view key, int64_t most, int64_t least = 1) const {
    TESSERA_ASSIGN_OR_RETURN(const int64_t value, metadata_.i64(name(key)));
    TESSERA_RETURN_IF_ERROR(in_range(key, value, least, most));
    return value;
  }
  // `fallback` when the key is absent; a smaller fallback than 1 is allowed as a value too.
  Result<int64_t> size_or(std::string_view key, int64_t fallback, int64_t most) const {
    return Metadata::value_or(size(key, most, std::min<int64_t>(fallback, 1)), fallback);
  }
  Result<std::vector<int64_t>> sizes(std::string_view key, int64_t count, int64_t most) const {
    TESSERA_ASSIGN_OR_RETURN(std::vector<int64_t> values, metadata_.i64_per_layer(name(key), count));
    for (int64_t value : values) TESSERA_RETURN_IF_ERROR(in_range(key, value, 1, most));
    return values;
  }
  // A finite number > 0.
  Result<double> positive_or(std::string_view key, double fallback) const {
    TESSERA_ASSIGN_OR_RETURN(const double value, Metadata::value_or(metadata_.number(name(key)), fallback));
    if (!std::isfinite(value) || value <= 0) return invalid_argument("{}: expected a number > 0, found {}", name(key), value);
    return value;
  }
  Result<std::string> text_or(std::string_view key, std::string fallback) const {
    return Metadata::value_or(metadata_.text(name(key)), std::move(fallback));
  }

 private:
  Status in_range(std::string_view key, int64_t value, int64_t least, int64_t most) const {
    if (value >= least && value <= most) return {};
    return invalid_argument("{}: expected {} to {}, found {}", name(key), least, most, value);
  }

  const Metadata& metadata_;
  std::string prefix_;
};

// rope_freqs.weight [dims / 2]: divides each frequency (Llama 3). Empty when only the header is there.
Result<std::vector<float>> read_freq_factors(const WeightSource& weights, const WeightInfo& info, int64_t dims) {
  if (info.shape.elements() != dims / 2) {
    return invalid_argument("{}: expected [{}], found {}", info.name, dims / 2, info.shape.to_string());
  }
  const BlockFormat* format = block_format(info.dtype);
  if (format == nullptr || dtype_info(info.dtype).quantized) {
    return invalid_argument("{}: expected f32, found {}", info.name, to_string(info.dtype));
  }
  if (weights.header_only()) return std::vector<float>();
  std::vector<float> factors(static_cast<size_t>(dims / 2));
  format->unpack(weights.read(info).bytes.data(), factors.data(), dims / 2);
  for (float f : factors) {
    if (!std::isfinite(f) || f <= 0) return invalid_argument("{}: expected factors > 0, found {}", info.name, f);
  }
  return factors;
}

Status read_rope_scaling(const Keys& keys, RopeSettings* rope) {
  TESSERA_ASSIGN_OR_RETURN(const std::string type, keys.text_or("rope.scaling.type", "none"));
  TESSERA_ASSIGN_OR_RETURN(const double legacy_factor, keys.positive_or("rope.scale_linear", 1.0));
  TESSERA_ASSIGN_OR_RETURN(rope->factor, keys.positive_or("rope.scaling.factor", legacy_factor));
  if (type == "linear" || (type == "none" && legacy_factor != 1.0)) {
    rope->scaling = RopeScaling::kLinear;
  } else if (type == "ntk") {
    rope->scaling = RopeScaling::kNtk;
  } else if (type == "yarn") {
    rope->scaling = RopeScaling::kYarn;
    TESSERA_ASSIGN_OR_RETURN(rope->original_context, keys.size("rope.scaling.original_context_length", kMaxContext));
    TESSERA_ASSIGN_OR_RETURN(rope->attn_factor, keys.positive_or("rope.scaling.attn_factor", 1.0));
    TESSERA_ASSIGN_OR_RETURN(rope->yarn_beta_fast, keys.positive_or("rope.scaling.yarn_beta_fast", 32.0));
    TESSERA_ASSIGN_OR_RETURN(rope->yarn_beta_slow, keys.positive_or("rope.scaling.yarn_beta_slow", 1.0));
    TESSERA_ASSIGN_OR_RETURN(rope->yarn_ext_factor, keys.positive_or("rope.scaling.yarn_ext_factor", 1.0));
  } else if (type != "none") {
    return unsupported("{}: expected none, linear, ntk or yarn, found '{}'", keys.name("rope.scaling.type"), type);
  }
  return {};
}

Result<RopeSettings> read_rope(const ArchInput& input, const Keys& keys, int64_t head_dim) {
  RopeSettings rope;
  TESSERA_ASSIGN_OR_RETURN(rope.dims, keys.size_or("rope.dimension_count", head_dim, head_dim));
  if (rope.dims % 2 != 0) {
    return invalid_argument("{}: expected an even number, found {}", keys.name("rope.dimension_count"), rope.dims);
  }
  TESSERA_ASSIGN_OR_RETURN(rope.freq_base, keys.positive_or("rope.freq_base", 10000.0));
  TESSERA_RETURN_IF_ERROR(read_rope_scaling(keys, &rope));
  if (const WeightInfo* info = input.weights.find("rope_freqs.weight")) {
    TESSERA_ASSIGN_OR_RETURN(rope.freq_factors, read_freq_factors(input.weights, *info, rope.dims));
    rope.scaling = RopeScaling::kFactors;
  }
  return rope;
}

Result<DenseAttentionSettings> read_attention(const ArchInput& input, const Keys& keys, int64_t model_dim, int64_t heads,
                                              int64_t kv_heads) {
  DenseAttentionSettings attention;
  attention.model_dim = model_dim;
  attention.heads = heads;
  attention.kv_heads = kv_heads;
  if (heads % kv_heads != 0) {
    return invalid_argument("{}: expected a divisor of {} heads, found {}", keys.name("attention.head_count_kv"), heads, kv_heads);
  }
  if (!input.metadata.contains(keys.name("attention.key_length")) && model_dim % heads != 0) {
    return invalid_argument("{}: expected a divisor of {} ({}), found {}", keys.name("attention.head_count"), model_dim,
                            keys.name("embedding_length"), heads);
  }
  TESSERA_ASSIGN_OR_RETURN(attention.head_dim, keys.size_or("attention.key_length", std::max<int64_t>(model_dim / heads, 1), 1 << 16));
  TESSERA_ASSIGN_OR_RETURN(const int64_t value_dim, keys.size_or("attention.value_length", attention.head_dim, 1 << 16));
  if (value_dim != attention.head_dim) {
    return unsupported("{}: expected {} like key_length, found {}", keys.name("attention.value_length"), attention.head_dim, value_dim);
  }
  TESSERA_ASSIGN_OR_RETURN(attention.window, keys.size_or("attention.sliding_window", 0, kMaxContext));
  TESSERA_ASSIGN_OR_RETURN(attention.rope, read_rope(input, keys, attention.head_dim));
  return attention;
}

}  // namespace

Result<ModelSpec> read_common(const ArchInput& input) {
  const Keys keys(input);
  ModelSpec spec;
  spec.architecture = std::string(input.prefix);
  TESSERA_ASSIGN_OR_RETURN(spec.name, Metadata::value_or(input.metadata.text("general.name"), std::string()));
  TESSERA_ASSIGN_OR_RETURN(const int64_t layers, keys.size("block_count", kMaxLayers));
  TESSERA_ASSIGN_OR_RETURN(spec.model_dim, keys.size("embedding_length", kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(spec.context_tokens, keys.size("context_length", kMaxContext));
  TESSERA_ASSIGN_OR_RETURN(const auto heads, keys.sizes("attention.head_count", layers, 1 << 16));
  TESSERA_ASSIGN_OR_RETURN(const auto kv_heads, Metadata::value_or(keys.sizes("attention.head_count_kv", layers, 1 << 16), heads));
  TESSERA_ASSIGN_OR_RETURN(const auto ff_dims, keys.sizes("feed_forward_length", layers, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(const double layer_eps, keys.positive_or("attention.layer_norm_epsilon", 1e-5));
  TESSERA_ASSIGN_OR_RETURN(const double eps, keys.positive_or("attention.layer_norm_rms_epsilon", layer_eps));
  spec.norm = {NormKind::kRms, static_cast<float>(eps)};

  const WeightInfo* embedding = input.weights.find("token_embd.weight");
  if (embedding == nullptr) return not_found("token_embd.weight: no such tensor");
  if (embedding->shape.rank() != 2 || embedding->shape.cols() != spec.model_dim ||
      embedding->shape.rows() > std::numeric_limits<int32_t>::max()) {
    return invalid_argument("token_embd.weight: expected [vocab, {}], found {}", spec.model_dim, embedding->shape.to_string());
  }
  spec.vocab = embedding->shape.rows();
  spec.tied_embeddings = input.weights.find("output.weight") == nullptr;

  for (int64_t l = 0; l < layers; ++l) {
    LayerSpec layer;
    if (l > 0 && heads[l] == heads[l - 1] && kv_heads[l] == kv_heads[l - 1]) {
      layer.attention = spec.layers.back().attention;
    } else {
      TESSERA_ASSIGN_OR_RETURN(layer.attention, read_attention(input, keys, spec.model_dim, heads[l], kv_heads[l]));
    }
    layer.ffn.model_dim = spec.model_dim;
    layer.ffn.ff_dim = ff_dims[l];
    spec.layers.push_back(std::move(layer));
  }
  return spec;
}

}  // namespace tessera
