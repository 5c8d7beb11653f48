// Qwen 2 and 2.5 (biases on q, k, v) and Qwen 3 (norms on q and k heads). Rotary pairs stay half a head apart, in GGUF
// too.
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
    WeightRule{"layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    WeightRule{"layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias"},
    WeightRule{"layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    WeightRule{"layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias"},
    WeightRule{"layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    WeightRule{"layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    WeightRule{"layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"},
    WeightRule{"layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"},
    WeightRule{"layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    WeightRule{"layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias"},
    WeightRule{"layers.{}.self_attn.rotary_emb.inv_freq", ""},
    WeightRule{"layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    WeightRule{"layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    WeightRule{"layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    WeightRule{"layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

// With use_sliding_window, the layers from max_window_layers on would attend in a window: no released model does.
Status check_window(const JsonFields& config) {
  TESSERA_ASSIGN_OR_RETURN(const bool windowed, config.boolean_or("use_sliding_window", false));
  if (!windowed) return {};
  TESSERA_ASSIGN_OR_RETURN(const int64_t layers, config.integer("num_hidden_layers", 1, kMaxLayers));
  TESSERA_ASSIGN_OR_RETURN(const int64_t full, config.integer_or("max_window_layers", 0, kMaxLayers, 28));
  if (full >= layers) return {};
  return unsupported("{}: use_sliding_window: windows in layers {} .. {} are not supported", config.what(), full,
                     layers - 1);
}

Status translate_qwen2(const JsonFields& config, Metadata* metadata) {
  TESSERA_RETURN_IF_ERROR(check_window(config));
  return translate_llama_like(config, "qwen2", metadata);
}

Status translate_qwen3(const JsonFields& config, Metadata* metadata) {
  TESSERA_RETURN_IF_ERROR(check_window(config));
  TESSERA_RETURN_IF_ERROR(translate_llama_like(config, "qwen3", metadata));
  if (config.has("head_dim")) return {};
  KeyWriter write("qwen3", metadata);  // Qwen 3's own default, which is not hidden_size / heads
  for (const char* key : {"attention.key_length", "attention.value_length", "rope.dimension_count"})
    write.count(key, 128);
  return {};
}

constexpr std::array<std::string_view, 1> kQwen2Classes = {"Qwen2ForCausalLM"};
constexpr std::array<std::string_view, 1> kQwen3Classes = {"Qwen3ForCausalLM"};

}  // namespace

const HfFamily kHfQwen2 = {kQwen2Classes, "qwen2", "model.", false, kRules, translate_qwen2};
const HfFamily kHfQwen3 = {kQwen3Classes, "qwen3", "model.", false, kRules, translate_qwen3};

}  // namespace tessera
