"""Checkpoint -> files that other programs read: a Hugging Face folder and GGUF.

    python -m train.export --checkpoint RUN/checkpoint.pt --tokenizer merges.json --gguf model-q8_0.gguf [--type q8_0] [--hf DIR]
"""
from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any, Dict, Tuple

import numpy as np

from train import gguf
from train.bpe import END_OF_TEXT, Tokenizer
from train.gguf import Value, array, f32, flag, text, u32
from train.gguf_names import gguf_name, interleave_pairs
from train.model import ModelConfig, Transformer, load_model
from train.safetensors_file import write_safetensors
from train.tokenize_data import load_tokenizer

TENSOR_TYPES = {"f32": (gguf.F32, 0), "f16": (gguf.F16, 1), "q8_0": (gguf.Q8_0, 7), "bf16": (gguf.BF16, 32)}  # type, general.file_type
NORMAL_TOKEN, CONTROL_TOKEN = 1, 3


def named_weights(model: Transformer) -> Dict[str, np.ndarray]:
    """Hugging Face tensor names; the output matrix is tied, so it is not stored."""
    return {f"model.{k}": v.detach().float().numpy() for k, v in model.state_dict().items()}


def tokenizer_metadata(t: Tokenizer) -> Dict[str, Value]:
    kinds = [NORMAL_TOKEN] * t.end_id + [CONTROL_TOKEN]
    return {
        "tokenizer.ggml.model": text("gpt2"), "tokenizer.ggml.pre": text("gpt-2"),
        "tokenizer.ggml.tokens": array(gguf.STRING, t.token_strings()), "tokenizer.ggml.token_type": array(gguf.INT32, kinds),
        "tokenizer.ggml.merges": array(gguf.STRING, t.merge_strings()),
        "tokenizer.ggml.bos_token_id": u32(t.end_id), "tokenizer.ggml.eos_token_id": u32(t.end_id),
        "tokenizer.ggml.add_bos_token": flag(True), "tokenizer.ggml.add_eos_token": flag(False),
    }


def model_metadata(c: ModelConfig, name: str, file_type: int) -> Dict[str, Value]:
    return {
        "general.architecture": text("llama"), "general.type": text("model"), "general.name": text(name),
        "general.license": text("apache-2.0"), "general.languages": array(gguf.STRING, ["en"]),
        "general.description": text("A small story model, trained from scratch on public-domain tales by the Tessera project."),
        "general.file_type": u32(file_type), "general.quantization_version": u32(2), "general.alignment": u32(gguf.ALIGNMENT),
        "general.sampling.temp": f32(0.7), "general.sampling.top_k": Value(gguf.INT32, 40), "general.sampling.top_p": f32(0.95),
        "llama.context_length": u32(c.context), "llama.embedding_length": u32(c.model_dim), "llama.block_count": u32(c.layers),
        "llama.feed_forward_length": u32(c.ff_dim), "llama.attention.head_count": u32(c.heads),
        "llama.attention.head_count_kv": u32(c.kv_heads), "llama.attention.key_length": u32(c.head_dim),
        "llama.attention.value_length": u32(c.head_dim), "llama.attention.layer_norm_rms_epsilon": f32(c.norm_eps),
        "llama.rope.dimension_count": u32(c.head_dim), "llama.rope.freq_base": f32(c.rope_theta), "llama.vocab_size": u32(c.vocab),
    }


def export_gguf(model: Transformer, tokenizer: Tokenizer, path: str, type_name: str, name: str) -> None:
    """Matrices in the given type, norm weights in F32."""
    kind, file_type = TENSOR_TYPES[type_name]
    heads = {"attn_q": model.config.heads, "attn_k": model.config.kv_heads}
    tensors: Dict[str, Tuple[np.ndarray, int]] = {}
    for hf_name, w in named_weights(model).items():
        key = gguf_name(hf_name)
        part = key.split(".")[-2]
        if part in heads:
            w = interleave_pairs(w, heads[part])
        tensors[key] = (w, kind if w.ndim == 2 else gguf.F32)
    gguf.write_gguf(path, {**model_metadata(model.config, name, file_type), **tokenizer_metadata(tokenizer)}, tensors)


def hf_config(c: ModelConfig, end_id: int) -> Dict[str, Any]:
    return dict(
        architectures=["LlamaForCausalLM"], model_type="llama", torch_dtype="float32", vocab_size=c.vocab, hidden_size=c.model_dim,
        intermediate_size=c.ff_dim, num_hidden_layers=c.layers, num_attention_heads=c.heads, num_key_value_heads=c.kv_heads,
        head_dim=c.head_dim, hidden_act="silu", max_position_embeddings=c.context, rms_norm_eps=c.norm_eps, rope_theta=c.rope_theta,
        attention_bias=False, mlp_bias=False, tie_word_embeddings=True, bos_token_id=end_id, eos_token_id=end_id,
    )


def hf_tokenizer(t: Tokenizer) -> Dict[str, Any]:
    """tokenizer.json of the `tokenizers` library: byte-level BPE, end-of-text token in front of every text."""
    added = dict(id=t.end_id, content=END_OF_TEXT, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    bos, special = {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}, {"id": END_OF_TEXT, "ids": [t.end_id], "tokens": [END_OF_TEXT]}
    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=[added], normalizer=None, pre_tokenizer=level,
        post_processor=dict(type="TemplateProcessing", single=[bos, first], pair=[bos, first, bos, second],
                            special_tokens={END_OF_TEXT: special}),
        decoder=level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False,
                   byte_fallback=False, ignore_merges=False, vocab={s: i for i, s in enumerate(t.token_strings())},
                   merges=t.merge_strings()),
    )


def export_hf(model: Transformer, tokenizer: Tokenizer, folder: str) -> None:
    root = pathlib.Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    write_safetensors(str(root / "model.safetensors"), named_weights(model))
    config = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, add_bos_token=True,
                  model_max_length=model.config.context, clean_up_tokenization_spaces=False)
    files = {"config.json": hf_config(model.config, tokenizer.end_id), "tokenizer.json": hf_tokenizer(tokenizer),
             "tokenizer_config.json": config}
    for name, content in files.items():
        (root / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--gguf", default="")
    p.add_argument("--type", choices=sorted(TENSOR_TYPES), default="q8_0")
    p.add_argument("--hf", default="")
    p.add_argument("--name", default="Tessera Stories 5M")
    a = p.parse_args()
    model, tokenizer = load_model(a.checkpoint), load_tokenizer(a.tokenizer)
    if a.gguf:
        export_gguf(model, tokenizer, a.gguf, a.type, a.name)
        print(f"{a.gguf}: {pathlib.Path(a.gguf).stat().st_size} bytes")
    if a.hf:
        export_hf(model, tokenizer, a.hf)
        print(f"{a.hf}: Hugging Face folder")


if __name__ == "__main__":
    main()
