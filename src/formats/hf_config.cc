#include "formats/hf_config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "formats/text.h"

namespace tessera {
namespace {

using nlohmann::json;

struct RopeConfig {
  double theta = 10000.0;
  std::string type = "default";
  JsonFields scaling;  // where factor and its companions are
};

// Rotary settings stand in rope_theta and rope_scaling, or together in rope_parameters (files written since
// transformers 5).
Result<RopeConfig> read_rope(const JsonFields& config) {
  static const json kNone = json::object();
  const json* scaling = config.find("rope_parameters");
  if (scaling == nullptr) scaling = config.find("rope_scaling");
  if (scaling != nullptr && !scaling->is_object()) {
    return invalid_argument("{}: rope_scaling: expected an object, found {}", config.what(), scaling->type_name());
  }
  RopeConfig rope{.scaling = JsonFields(scaling ? *scaling : kNone, config.what() + ": rope_scaling")};
  TESSERA_ASSIGN_OR_RETURN(rope.theta, config.number_or("rope_theta", rope.theta));
  TESSERA_ASSIGN_OR_RETURN(rope.theta, rope.scaling.number_or("rope_theta", rope.theta));
  if (!(rope.theta > 0)) {
    return invalid_argument("{}: rope_theta: expected a number > 0, found {}", config.what(), rope.theta);
  }
  TESSERA_ASSIGN_OR_RETURN(rope.type, rope.scaling.text_or("type", rope.type));
  TESSERA_ASSIGN_OR_RETURN(rope.type, rope.scaling.text_or("rope_type", rope.type));
  return rope;
}

Result<double> positive(const JsonFields& fields, std::string_view key) {
  TESSERA_ASSIGN_OR_RETURN(const double value, fields.number(key));
  if (!(value > 0)) return invalid_argument("{}: {}: expected a number > 0, found {}", fields.what(), key, value);
  return value;
}

Status copy_number(const JsonFields& from, std::string_view key, std::string_view gguf, const KeyWriter& write) {
  if (!from.has(key)) return {};
  TESSERA_ASSIGN_OR_RETURN(const double value, from.number(key));
  write.number(gguf, value);
  return {};
}

Status translate_yarn(const JsonFields& scaling, int64_t context, const KeyWriter& write) {
  TESSERA_ASSIGN_OR_RETURN(const double factor, positive(scaling, "factor"));
  TESSERA_ASSIGN_OR_RETURN(const int64_t original,
                           scaling.integer_or("original_max_position_embeddings", 1, kMaxTokensCount, context));
  write.text("rope.scaling.type", "yarn");
  write.number("rope.scaling.factor", factor);
  write.count("rope.scaling.original_context_length", original);
  if (scaling.has("attention_factor")) {
    // Here the whole factor; in GGUF what multiplies YaRN's own 0.1 ln(factor) + 1.
    TESSERA_ASSIGN_OR_RETURN(const double whole, positive(scaling, "attention_factor"));
    const double usual = 0.1 * std::log(factor) + 1;
    if (!(usual > 1e-3)) return invalid_argument("{}: factor: {} is too small for YaRN", scaling.what(), factor);
    write.number("rope.scaling.attn_factor", whole / usual);
  }
  TESSERA_RETURN_IF_ERROR(copy_number(scaling, "beta_fast", "rope.scaling.yarn_beta_fast", write));
  return copy_number(scaling, "beta_slow", "rope.scaling.yarn_beta_slow", write);
}

Status translate_rope(const JsonFields& config, int64_t head_dim, int64_t context, const KeyWriter& write) {
  TESSERA_ASSIGN_OR_RETURN(const RopeConfig rope, read_rope(config));
  write.number("rope.freq_base", rope.theta);
  write.count("rope.dimension_count", head_dim);
  if (rope.type == "default" || rope.type == "llama3") return {};  // llama3: llama3_rope_factors
  if (rope.type == "yarn") return translate_yarn(rope.scaling, context, write);
  if (rope.type == "linear") {
    TESSERA_ASSIGN_OR_RETURN(const double factor, positive(rope.scaling, "factor"));
    write.text("rope.scaling.type", "linear");
    write.number("rope.scaling.factor", factor);
    return {};
  }
  return unsupported("{}: rope_type: expected default, linear, yarn or llama3, found {}", rope.scaling.what(),
                     in_quotes(rope.type));
}

struct HeadSizes {
  int64_t heads, kv_heads, head_dim;
};

Result<HeadSizes> read_heads(const JsonFields& config) {
  HeadSizes sizes{};
  TESSERA_ASSIGN_OR_RETURN(sizes.heads, config.integer("num_attention_heads", 1, kMaxHeads));
  TESSERA_ASSIGN_OR_RETURN(sizes.kv_heads, config.integer_or("num_key_value_heads", 1, kMaxHeads, sizes.heads));
  TESSERA_ASSIGN_OR_RETURN(const int64_t width, config.integer("hidden_size", 1, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(sizes.head_dim, config.integer_or("head_dim", 1, kMaxDim, width / sizes.heads));
  if (sizes.head_dim < 2 || sizes.head_dim % 2 != 0) {
    return invalid_argument("{}: head_dim: expected an even number, found {}", config.what(), sizes.head_dim);
  }
  return sizes;
}

}  // namespace

void KeyWriter::count(std::string_view name, int64_t value) const {
  metadata_->set(fmt::format("{}.{}", prefix_, name), MetadataScalar(static_cast<uint32_t>(value)));
}
void KeyWriter::number(std::string_view name, double value) const {
  metadata_->set(fmt::format("{}.{}", prefix_, name), MetadataScalar(static_cast<float>(value)));
}
void KeyWriter::text(std::string_view name, std::string value) const {
  metadata_->set(fmt::format("{}.{}", prefix_, name), MetadataScalar(std::move(value)));
}

Status translate_llama_like(const JsonFields& config, std::string_view architecture, Metadata* metadata) {
  const KeyWriter write(architecture, metadata);
  TESSERA_ASSIGN_OR_RETURN(const std::string activation, config.text_or("hidden_act", "silu"));
  if (activation != "silu") {
    return unsupported("{}: hidden_act: expected \"silu\", found {}", config.what(), in_quotes(activation));
  }
  TESSERA_ASSIGN_OR_RETURN(const int64_t layers, config.integer("num_hidden_layers", 1, kMaxLayers));
  TESSERA_ASSIGN_OR_RETURN(const int64_t context, config.integer("max_position_embeddings", 1, kMaxTokensCount));
  TESSERA_ASSIGN_OR_RETURN(const int64_t width, config.integer("hidden_size", 1, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(const int64_t ff, config.integer("intermediate_size", 1, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(const int64_t vocab, config.integer("vocab_size", 1, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(const double epsilon, config.number_or("rms_norm_eps", 1e-6));
  TESSERA_ASSIGN_OR_RETURN(const HeadSizes sizes, read_heads(config));
  write.count("block_count", layers);
  write.count("context_length", context);
  write.count("embedding_length", width);
  write.count("feed_forward_length", ff);
  write.count("vocab_size", vocab);
  write.count("attention.head_count", sizes.heads);
  write.count("attention.head_count_kv", sizes.kv_heads);
  write.count("attention.key_length", sizes.head_dim);
  write.count("attention.value_length", sizes.head_dim);
  write.number("attention.layer_norm_rms_epsilon", epsilon);
  return translate_rope(config, sizes.head_dim, context, write);
}

// Long wavelengths are divided by `factor`, short ones kept, those between interpolated (Llama 3.1 model card).
Result<std::vector<float>> llama3_rope_factors(const JsonFields& config) {
  TESSERA_ASSIGN_OR_RETURN(const RopeConfig rope, read_rope(config));
  if (rope.type != "llama3") return std::vector<float>();
  TESSERA_ASSIGN_OR_RETURN(const HeadSizes sizes, read_heads(config));
  TESSERA_ASSIGN_OR_RETURN(const double factor, positive(rope.scaling, "factor"));
  TESSERA_ASSIGN_OR_RETURN(const double low, positive(rope.scaling, "low_freq_factor"));
  TESSERA_ASSIGN_OR_RETURN(const double high, positive(rope.scaling, "high_freq_factor"));
  TESSERA_ASSIGN_OR_RETURN(const double original, positive(rope.scaling, "original_max_position_embeddings"));
  if (!(high > low)) {
    return invalid_argument("{}: high_freq_factor: expected more than low_freq_factor {}, found {}",
                            rope.scaling.what(), low, high);
  }
  if (sizes.head_dim > 1 << 16) {
    return invalid_argument("{}: head_dim: expected at most 65536, found {}", config.what(), sizes.head_dim);
  }
  std::vector<float> factors;
  for (int64_t i = 0; i < sizes.head_dim; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(sizes.head_dim);
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.theta, exponent);
    double divisor = 1;
    if (wavelength > original / low) {
      divisor = factor;
    } else if (wavelength >= original / high) {
      const double smooth = (original / wavelength - low) / (high - low);
      divisor = 1 / ((1 - smooth) / factor + smooth);
    }
    factors.push_back(static_cast<float>(divisor));
  }
  return factors;
}

}  // namespace tessera
