"""Hugging Face config and tensors -> GGUF metadata and tensors, for the families of the fixtures.

Names and layout follow llama.cpp: arch `llama` (also for mistral) has the rows of q and k reordered per head so that rotary pairs
are neighbours (2i, 2i+1); qwen2, qwen3 keep the half-split order; gpt2 stores the transposed Conv1D weights, [out, in].
"""
from __future__ import annotations

import math
from typing import Any, Dict, Tuple

import numpy as np

from train.gguf import Value, f32, text, u32
from train.gguf_names import gguf_name, interleave_pairs

GPT2_LAYER = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
GPT2_TOP = {
    "transformer.wte.weight": "token_embd.weight", "transformer.wpe.weight": "position_embd.weight",
    "transformer.ln_f.weight": "output_norm.weight", "transformer.ln_f.bias": "output_norm.bias",
}


def any_gguf_name(name: str) -> str:
    if not name.startswith("transformer."):
        return gguf_name(name)
    if name in GPT2_TOP:
        return GPT2_TOP[name]
    _, _, layer, *middle, kind = name.split(".")  # transformer.h.3.ln_1.bias
    return f"blk.{layer}.{GPT2_LAYER['.'.join(middle)]}.{kind}"


def llama3_factors(scaling: Dict[str, Any], head_dim: int, theta: float) -> np.ndarray:
    """What each rotary frequency is divided by: 1 for short waves, `factor` for long ones, smooth in between."""
    freq = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    waves = scaling["original_max_position_embeddings"] * freq / (2 * math.pi)  # waves in the original context
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = np.clip((waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32)


def llama_like_metadata(arch: str, c: Dict[str, Any], head_dim: int, theta: float) -> Dict[str, Value]:
    out = {
        "context_length": u32(c["max_position_embeddings"]), "embedding_length": u32(c["hidden_size"]),
        "block_count": u32(c["num_hidden_layers"]), "feed_forward_length": u32(c["intermediate_size"]),
        "attention.head_count": u32(c["num_attention_heads"]), "attention.head_count_kv": u32(c["num_key_value_heads"]),
        "attention.key_length": u32(head_dim), "attention.value_length": u32(head_dim),
        "attention.layer_norm_rms_epsilon": f32(c["rms_norm_eps"]), "rope.freq_base": f32(theta),
        "rope.dimension_count": u32(head_dim), "vocab_size": u32(c["vocab_size"]),
    }
    if c["model_type"] == "mistral":
        out["attention.sliding_window"] = u32(c["sliding_window"])
    scaling = c.get("rope_scaling")
    if scaling and scaling["rope_type"] in ("linear", "yarn"):
        out["rope.scaling.type"] = text(scaling["rope_type"])
        out["rope.scaling.factor"] = f32(scaling["factor"])
        if scaling["rope_type"] == "yarn":
            out["rope.scaling.original_context_length"] = u32(scaling["original_max_position_embeddings"])
    return {f"{arch}.{k}": v for k, v in out.items()}


def gpt2_metadata(c: Dict[str, Any]) -> Dict[str, Value]:
    return {
        "gpt2.context_length": u32(c["n_positions"]), "gpt2.embedding_length": u32(c["n_embd"]), "gpt2.block_count": u32(c["n_layer"]),
        "gpt2.feed_forward_length": u32(4 * c["n_embd"]), "gpt2.attention.head_count": u32(c["n_head"]),
        "gpt2.attention.layer_norm_epsilon": f32(c["layer_norm_epsilon"]), "gpt2.vocab_size": u32(c["vocab_size"]),
    }


def to_gguf(name: str, c: Dict[str, Any], tensors: Dict[str, np.ndarray], kind: int) -> Tuple[Dict[str, Value], Dict[str, Tuple[np.ndarray, int]]]:
    """(metadata, tensors) for `write_gguf`; matrices get tensor type `kind`, vectors stay F32."""
    arch = {"mistral": "llama"}.get(c["model_type"], c["model_type"])
    metadata = {"general.architecture": text(arch), "general.name": text(name), "general.file_type": u32(32 if kind == 30 else 0)}
    extra: Dict[str, np.ndarray] = {}
    heads = {"self_attn.q_proj": c.get("num_attention_heads"), "self_attn.k_proj": c.get("num_key_value_heads")}
    if arch == "gpt2":
        metadata.update(gpt2_metadata(c))
    else:
        head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        theta = c.get("rope_theta") or c["rope_parameters"]["rope_theta"]
        metadata.update(llama_like_metadata(arch, c, head_dim, theta))
        if c.get("rope_scaling", {}).get("rope_type") == "llama3":
            extra["rope_freqs.weight"] = llama3_factors(c["rope_scaling"], head_dim, theta)
    metadata["tokenizer.ggml.model"] = text("none")
    out = dict(extra)
    for hf_name, x in tensors.items():
        part = ".".join(hf_name.split(".")[3:-1])
        if arch == "llama" and part in heads:
            x = interleave_pairs(x, heads[part])
        if arch == "gpt2" and ".c_" in hf_name and x.ndim == 2:
            x = x.T
        out[any_gguf_name(hf_name)] = x
    return metadata, {k: (np.ascontiguousarray(x), kind if x.ndim == 2 else 0) for k, x in out.items()}
