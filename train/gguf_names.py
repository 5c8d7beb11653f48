"""Tensor names and row order: Hugging Face llama-family checkpoints <-> GGUF (numpy only).

GGUF's arch `llama` wants rotary pairs in neighbouring rows of q and k: per head, row i and row i + head_dim/2 become 2i and 2i+1.
"""
from __future__ import annotations

import numpy as np

TOP_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight",
}
LAYER_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """model.layers.3.mlp.up_proj.weight -> blk.3.ffn_up.weight"""
    if name in TOP_NAMES:
        return TOP_NAMES[name]
    _, _, layer, *middle, kind = name.split(".")
    return f"blk.{layer}.{LAYER_NAMES['.'.join(middle)]}.{kind}"


def interleave_pairs(w: np.ndarray, heads: int) -> np.ndarray:
    """Half-split order to neighbouring pairs; w: [heads * head_dim, ...]."""
    return np.ascontiguousarray(w.reshape(heads, 2, -1, *w.shape[1:]).swapaxes(1, 2)).reshape(w.shape)


def split_pairs(w: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `interleave_pairs`."""
    return np.ascontiguousarray(w.reshape(heads, -1, 2, *w.shape[1:]).swapaxes(1, 2)).reshape(w.shape)
