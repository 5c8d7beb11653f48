// Llama and Mistral: GGUF's "llama" architecture, whose rotary pairs are adjacent rows.
#include <array>

#include "formats/hf_config.h"
#include "formats/hf_family.h"

namespace tessera {
namespace {

constexpr std::array kRules = {
    WeightRule{"embed_tokens.weight", "token_embd.weight"},
    WeightRule{"norm.weight", "output_norm.weight"},
    WeightRule{"lm_head.weight", "output.weight"},
    WeightRule{"layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    WeightRule{"layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", RowOrder::kPairQueryHeads},
    WeightRule{"layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", RowOrder::kPairQueryHeads},
    WeightRule{"layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", RowOrder::kPairKeyHeads},
    WeightRule{"layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", RowOrder::kPairKeyHeads},
    WeightRule{"layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    WeightRule{"layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    WeightRule{"layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    WeightRule{"layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias"},
    WeightRule{"layers.{}.self_attn.rotary_emb.inv_freq", ""},
    WeightRule{"layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    WeightRule{"layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    WeightRule{"layers.{}.mlp.gate_proj.bias", "blk.{}.ffn_gate.bias"},
    WeightRule{"layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    WeightRule{"layers.{}.mlp.up_proj.bias", "blk.{}.ffn_up.bias"},
    WeightRule{"layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
    WeightRule{"layers.{}.mlp.down_proj.bias", "blk.{}.ffn_down.bias"},
};

Status translate_llama(const JsonFields& config, Metadata* metadata) {
  return translate_llama_like(config, "llama", metadata);
}

Status translate_mistral(const JsonFields& config, Metadata* metadata) {
  TESSERA_RETURN_IF_ERROR(translate_llama_like(config, "llama", metadata));
  if (!config.has("sliding_window")) return {};
  TESSERA_ASSIGN_OR_RETURN(const int64_t window, config.integer("sliding_window", 1, kMaxTokensCount));
  KeyWriter("llama", metadata).count("attention.sliding_window", window);
  return {};
}

constexpr std::array<std::string_view, 1> kLlamaClasses = {"LlamaForCausalLM"};
constexpr std::array<std::string_view, 1> kMistralClasses = {"MistralForCausalLM"};

}  // namespace

const HfFamily kHfLlama = {kLlamaClasses, "llama", "model.", false, kRules, translate_llama};
const HfFamily kHfMistral = {kMistralClasses, "llama", "model.", false, kRules, translate_mistral};

}  // namespace tessera
