// GPT-2: learned positions, LayerNorm with bias, one fused q, k, v projection, matrices stored [inputs, outputs].
#include <array>

#include "formats/hf_config.h"
#include "formats/hf_family.h"
#include "formats/text.h"

namespace tessera {
namespace {

constexpr std::array kRules = {
    WeightRule{"wte.weight", "token_embd.weight"},
    WeightRule{"wpe.weight", "position_embd.weight"},
    WeightRule{"ln_f.weight", "output_norm.weight"},
    WeightRule{"ln_f.bias", "output_norm.bias"},
    WeightRule{"lm_head.weight", "output.weight"},
    WeightRule{"h.{}.ln_1.weight", "blk.{}.attn_norm.weight"},
    WeightRule{"h.{}.ln_1.bias", "blk.{}.attn_norm.bias"},
    WeightRule{"h.{}.attn.c_attn.weight", "blk.{}.attn_qkv.weight", RowOrder::kTransposed},
    WeightRule{"h.{}.attn.c_attn.bias", "blk.{}.attn_qkv.bias"},
    WeightRule{"h.{}.attn.c_proj.weight", "blk.{}.attn_output.weight", RowOrder::kTransposed},
    WeightRule{"h.{}.attn.c_proj.bias", "blk.{}.attn_output.bias"},
    WeightRule{"h.{}.attn.bias", ""},  // the causal mask, stored by old versions
    WeightRule{"h.{}.attn.masked_bias", ""},
    WeightRule{"h.{}.ln_2.weight", "blk.{}.ffn_norm.weight"},
    WeightRule{"h.{}.ln_2.bias", "blk.{}.ffn_norm.bias"},
    WeightRule{"h.{}.mlp.c_fc.weight", "blk.{}.ffn_up.weight", RowOrder::kTransposed},
    WeightRule{"h.{}.mlp.c_fc.bias", "blk.{}.ffn_up.bias"},
    WeightRule{"h.{}.mlp.c_proj.weight", "blk.{}.ffn_down.weight", RowOrder::kTransposed},
    WeightRule{"h.{}.mlp.c_proj.bias", "blk.{}.ffn_down.bias"},
};

Status check_variant(const JsonFields& config) {
  TESSERA_ASSIGN_OR_RETURN(const std::string activation, config.text_or("activation_function", "gelu_new"));
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh") {
    return unsupported("{}: activation_function: expected \"gelu_new\", found {}", config.what(),
                       in_quotes(activation));
  }
  TESSERA_ASSIGN_OR_RETURN(const bool scaled, config.boolean_or("scale_attn_weights", true));
  TESSERA_ASSIGN_OR_RETURN(const bool by_layer, config.boolean_or("scale_attn_by_inverse_layer_idx", false));
  if (!scaled || by_layer) {
    return unsupported("{}: scale_attn_weights: only the usual 1 / sqrt(head_dim) is supported", config.what());
  }
  return {};
}

Status translate_gpt2(const JsonFields& config, Metadata* metadata) {
  TESSERA_RETURN_IF_ERROR(check_variant(config));
  const KeyWriter write("gpt2", metadata);
  TESSERA_ASSIGN_OR_RETURN(const int64_t layers, config.integer("n_layer", 1, kMaxLayers));
  TESSERA_ASSIGN_OR_RETURN(const int64_t heads, config.integer("n_head", 1, kMaxHeads));
  TESSERA_ASSIGN_OR_RETURN(const int64_t width, config.integer("n_embd", 1, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(const int64_t context, config.integer("n_positions", 1, kMaxTokensCount));
  TESSERA_ASSIGN_OR_RETURN(const int64_t ff, config.integer_or("n_inner", 1, 4 * kMaxDim, 4 * width));
  TESSERA_ASSIGN_OR_RETURN(const int64_t vocab, config.integer("vocab_size", 1, kMaxDim));
  TESSERA_ASSIGN_OR_RETURN(const double epsilon, config.number_or("layer_norm_epsilon", 1e-5));
  write.count("block_count", layers);
  write.count("context_length", context);
  write.count("embedding_length", width);
  write.count("feed_forward_length", ff);
  write.count("vocab_size", vocab);
  write.count("attention.head_count", heads);
  write.number("attention.layer_norm_epsilon", epsilon);
  return {};
}

constexpr std::array<std::string_view, 1> kClasses = {"GPT2LMHeadModel"};

}  // namespace

const HfFamily kHfGpt2 = {kClasses, "gpt2", "transformer.", true, kRules, translate_gpt2};

}  // namespace tessera
