#include "compress/weight_recipe.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>

namespace tessera {
namespace {

struct NamedRecipe {
  std::string_view name;
  WeightRecipe recipe;
};

constexpr NamedRecipe kRecipes[] = {
    {"f32", {DType::kF32, MixSize::kPlain, 0}},        {"f16", {DType::kF16, MixSize::kPlain, 1}},
    {"bf16", {DType::kBF16, MixSize::kPlain, 32}},     {"q8_0", {DType::kQ8_0, MixSize::kPlain, 7}},
    {"q4_0", {DType::kQ4_0, MixSize::kPlain, 2}},      {"q4_1", {DType::kQ4_1, MixSize::kPlain, 3}},
    {"q5_0", {DType::kQ5_0, MixSize::kPlain, 8}},      {"q5_1", {DType::kQ5_1, MixSize::kPlain, 9}},
    {"q2_k", {DType::kQ2_K, MixSize::kMedium, 10}},    {"q3_k_s", {DType::kQ3_K, MixSize::kSmall, 11}},
    {"q3_k_m", {DType::kQ3_K, MixSize::kMedium, 12}},  {"q3_k_l", {DType::kQ3_K, MixSize::kLarge, 13}},
    {"q4_k_s", {DType::kQ4_K, MixSize::kSmall, 14}},   {"q4_k_m", {DType::kQ4_K, MixSize::kMedium, 15}},
    {"q5_k_s", {DType::kQ5_K, MixSize::kSmall, 16}},   {"q5_k_m", {DType::kQ5_K, MixSize::kMedium, 17}},
    {"q6_k", {DType::kQ6_K, MixSize::kPlain, 18}},     {"iq4_nl", {DType::kIQ4_NL, MixSize::kPlain, 25}},
    {"iq4_xs", {DType::kIQ4_XS, MixSize::kPlain, 30}}, {"mxfp4", {DType::kMXFP4, MixSize::kPlain, 38}},
};

struct NamedRole {
  std::string_view name;  // without "blk.N."
  TensorRole role;
};

constexpr NamedRole kRoles[] = {
    {"token_embd.weight", TensorRole::kEmbedding}, {"position_embd.weight", TensorRole::kPosition},
    {"output.weight", TensorRole::kOutput},        {"attn_q.weight", TensorRole::kQuery},
    {"attn_k.weight", TensorRole::kKey},           {"attn_v.weight", TensorRole::kValue},
    {"attn_qkv.weight", TensorRole::kFusedQkv},    {"attn_output.weight", TensorRole::kAttentionOut},
    {"ffn_gate.weight", TensorRole::kGate},        {"ffn_up.weight", TensorRole::kUp},
    {"ffn_down.weight", TensorRole::kDown},
};

bool is_float(DType type) { return !dtype_info(type).quantized; }

// The first and last eighth of the layers and every third between.
bool gets_more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

DType value_type(const WeightRecipe& r, const MixModel& m, int64_t layer) {
  const bool wide_groups = m.heads / m.kv_heads >= 4;
  const bool more = gets_more_bits(layer, m.layers);
  switch (r.base) {
    case DType::kQ2_K: return wide_groups ? DType::kQ4_K : DType::kQ3_K;
    case DType::kQ3_K:
      if (r.size == MixSize::kMedium) return layer < 2 ? DType::kQ5_K : DType::kQ4_K;
      return r.size == MixSize::kLarge ? DType::kQ5_K : r.base;
    case DType::kQ4_K:
      if (r.size == MixSize::kMedium) return more ? DType::kQ6_K : r.base;
      return layer < 4 ? DType::kQ5_K : r.base;
    case DType::kQ5_K: return r.size == MixSize::kMedium && more ? DType::kQ6_K : r.base;
    case DType::kIQ4_NL:
    case DType::kIQ4_XS: return wide_groups ? DType::kQ5_K : r.base;
    default: return r.base;
  }
}

DType down_type(const WeightRecipe& r, const MixModel& m, int64_t layer) {
  const bool early = layer < m.layers / 8;
  const bool more = gets_more_bits(layer, m.layers);
  switch (r.base) {
    case DType::kQ2_K: return DType::kQ3_K;
    case DType::kQ3_K:
      if (r.size == MixSize::kMedium) return layer < m.layers / 16 ? DType::kQ5_K : DType::kQ4_K;
      return r.size == MixSize::kLarge ? DType::kQ5_K : r.base;
    case DType::kQ4_K:
      if (r.size == MixSize::kMedium) return more ? DType::kQ6_K : r.base;
      return early ? DType::kQ5_K : r.base;
    case DType::kQ5_K: return r.size == MixSize::kMedium && more ? DType::kQ6_K : r.base;
    case DType::kIQ4_NL:
    case DType::kIQ4_XS: return early ? DType::kQ5_K : r.base;
    default: return r.base;
  }
}

DType attention_out_type(const WeightRecipe& r) {
  if (r.base == DType::kQ2_K) return DType::kQ3_K;
  if (r.base == DType::kQ3_K && r.size == MixSize::kMedium) return DType::kQ4_K;
  if (r.base == DType::kQ3_K && r.size == MixSize::kLarge) return DType::kQ5_K;
  return r.base;
}

DType fused_qkv_type(const WeightRecipe& r) {
  if (r.size != MixSize::kMedium && r.size != MixSize::kLarge) return r.base;
  if (r.base == DType::kQ3_K) return DType::kQ4_K;
  if (r.base == DType::kQ4_K) return DType::kQ5_K;
  return r.base == DType::kQ5_K ? DType::kQ6_K : r.base;
}

DType wanted_type(const WeightRecipe& r, const MixModel& m, const TensorPlace& place) {
  if (is_float(r.base)) return r.base;
  const DType output = r.base == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
  switch (place.role) {
    case TensorRole::kOutput: return output;
    case TensorRole::kEmbedding: return m.tied_embeddings ? output : r.base;
    case TensorRole::kValue: return value_type(r, m, place.layer);
    case TensorRole::kDown: return down_type(r, m, place.layer);
    case TensorRole::kAttentionOut: return attention_out_type(r);
    case TensorRole::kFusedQkv: return fused_qkv_type(r);
    default: return r.base;
  }
}

// Types with blocks of 32 for rows that are no multiple of the wanted type's block.
DType with_short_blocks(DType type) {
  switch (type) {
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kIQ4_XS: return DType::kIQ4_NL;
    case DType::kQ4_K: return DType::kQ5_0;
    case DType::kQ5_K: return DType::kQ5_1;
    case DType::kQ6_K: return DType::kQ8_0;
    default: return DType::kF16;
  }
}

}  // namespace

TensorPlace place_of(std::string_view name) {
  TensorPlace place;
  if (name.starts_with("blk.")) {
    const size_t dot = std::min(name.find('.', 4), name.size());
    std::from_chars(name.data() + 4, name.data() + dot, place.layer);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  if (name.ends_with(".bias")) {
    place.role = TensorRole::kBias;
  } else if (name.find("norm") != std::string_view::npos) {
    place.role = TensorRole::kNorm;
  } else {
    const auto* known = std::ranges::find(kRoles, name, &NamedRole::name);
    if (known != std::end(kRoles)) place.role = known->role;
  }
  return place;
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const NamedRecipe& named : kRecipes) names.emplace_back(named.name);
  return names;
}

Result<WeightRecipe> find_recipe(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto* named = std::ranges::find(kRecipes, lower, &NamedRecipe::name);
  if (named != std::end(kRecipes)) return named->recipe;
  return not_found("--type {}: no such type; known: {}", name, fmt::join(recipe_names(), ", "));
}

DType recipe_dtype(const WeightRecipe& recipe, const MixModel& model, const TensorPlace& place, const Shape& shape) {
  // Vectors and the position table stay f32, as the public files have them.
  if (shape.rank() < 2 || place.role == TensorRole::kPosition) return DType::kF32;
  DType type = wanted_type(recipe, model, place);
  while (shape.cols() % dtype_info(type).block_elements != 0) type = with_short_blocks(type);
  return type;
}

}  // namespace tessera
