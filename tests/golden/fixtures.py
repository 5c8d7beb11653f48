"""The list of golden models: one tiny random model per family and per variation that a loader or a kernel can get wrong.

Each `config` is the config.json that is written, in the words of published checkpoints (most in the older spelling with rope_theta
and rope_scaling on the top level, one in the newer one with rope_parameters).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List


@dataclass(frozen=True)
class Fixture:
    name: str
    config: Dict[str, Any]
    why: str
    bf16: bool = False


def llama(**changes: Any) -> Dict[str, Any]:
    base: Dict[str, Any] = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", torch_dtype="float32", vocab_size=128, hidden_size=32,
        intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, hidden_act="silu",
        max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0, attention_bias=False, mlp_bias=False,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    )
    base.update(changes)
    return {k: v for k, v in base.items() if v is not None}


def qwen2(**changes: Any) -> Dict[str, Any]:
    base = llama(architectures=["Qwen2ForCausalLM"], model_type="qwen2", attention_bias=None, mlp_bias=None, head_dim=None,
                 rms_norm_eps=1e-6, rope_theta=1000000.0, use_sliding_window=False, sliding_window=64, max_window_layers=2)
    base.update(changes)
    return base


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=256)
LINEAR = dict(rope_type="linear", factor=2.5)

FIXTURES: List[Fixture] = [
    Fixture("llama-gqa", llama(intermediate_size=96, num_hidden_layers=3, head_dim=8, tie_word_embeddings=False),
            "grouped-query attention, 3 layers, separate output matrix"),
    Fixture("llama-gqa-bf16", llama(torch_dtype="bfloat16"), "weights stored as BF16 in both files, computed wide", bf16=True),
    Fixture("llama-odd", llama(hidden_size=40, intermediate_size=72, head_dim=None, num_key_value_heads=4),
            "no grouping; inner dimensions 40 and 72 are no multiples of 32, head_dim 10"),
    Fixture("llama-rope-llama3", llama(rope_scaling=LLAMA3), "llama 3 frequency scaling; GGUF carries rope_freqs.weight"),
    Fixture("llama-rope-yarn", llama(rope_scaling=YARN, max_position_embeddings=1024), "YaRN scaling and its attention factor"),
    Fixture("llama-rope-linear", llama(rope_scaling=LINEAR), "linear position scaling by 1/2.5"),
    Fixture("mistral-window", llama(architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=8,
                                    attention_bias=None, mlp_bias=None), "sliding window of 8 tokens, shorter than the prompt"),
    Fixture("qwen2-tied", qwen2(), "q, k, v biases; tied output"),
    Fixture("qwen2-untied", qwen2(tie_word_embeddings=False, num_key_value_heads=1), "one key/value head; separate output matrix"),
    Fixture("qwen3", llama(architectures=["Qwen3ForCausalLM"], model_type="qwen3", mlp_bias=None, head_dim=24, rms_norm_eps=1e-6,
                           rope_theta=None, rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
            "norm of every query and key head; head_dim 24 with hidden 32 and 4 heads; newer config spelling"),
    Fixture("gpt2", dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", torch_dtype="float32", vocab_size=128, n_embd=32,
                         n_layer=2, n_head=4, n_positions=64, n_ctx=64, activation_function="gelu_new",
                         layer_norm_epsilon=1e-5, bos_token_id=1, eos_token_id=2),
            "learned positions, layer norm with bias, fused qkv, tanh GELU; Conv1D weights are [in, out] in safetensors"),
]
