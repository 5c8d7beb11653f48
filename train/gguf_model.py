"""GGUF of this project -> reference model in f32 (dequantized): what the shipped file computes, with the oracle's arithmetic."""
from __future__ import annotations

import numpy as np
import torch

from train.export import named_weights
from train.gguf import read_gguf
from train.gguf_names import gguf_name, split_pairs
from train.model import ModelConfig, Transformer


def load_gguf_model(path: str) -> Transformer:
    meta, tensors = read_gguf(path)
    get = lambda key: meta[f"llama.{key}"]  # noqa: E731
    model = Transformer(ModelConfig(
        vocab=len(meta["tokenizer.ggml.tokens"]), model_dim=get("embedding_length"), layers=get("block_count"),
        heads=get("attention.head_count"), kv_heads=get("attention.head_count_kv"), head_dim=get("attention.key_length"),
        ff_dim=get("feed_forward_length"), context=get("context_length"), rope_theta=get("rope.freq_base"),
        norm_eps=get("attention.layer_norm_rms_epsilon"),
    ))
    heads = {"attn_q": model.config.heads, "attn_k": model.config.kv_heads}
    state = {}
    for name in named_weights(model):
        key = gguf_name(name)
        w, part = tensors[key], key.split(".")[-2]
        state[name[len("model."):]] = torch.from_numpy(np.array(split_pairs(w, heads[part]) if part in heads else w))
    model.load_state_dict(state)
    return model.eval()
