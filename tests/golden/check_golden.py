"""Checks every golden GGUF against its expected logits with an independent forward pass in plain numpy, float64.

    python tests/golden/check_golden.py      (needs numpy only)

It reads the GGUF alone (names, metadata, row order of q and k), so it also checks the conversion, not just the arithmetic.
"""
from __future__ import annotations

import json
import math
import pathlib
import sys
from typing import Any, Dict, Tuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from train.gguf import read_gguf  # noqa: E402

TOLERANCE = 2e-5  # largest absolute difference; transformers forms norms, softmax and rope angles in f32


class Weights:
    def __init__(self, tensors: Dict[str, np.ndarray]) -> None:
        self.tensors = {k: v.astype(np.float64) for k, v in tensors.items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.tensors[name + ".weight"].T + self.tensors.get(name + ".bias", 0.0)

    def norm(self, name: str, x: np.ndarray, eps: float, center: bool) -> np.ndarray:
        if center:
            x = x - x.mean(-1, keepdims=True)
        y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return y * self.tensors[name + ".weight"] + self.tensors.get(name + ".bias", 0.0)


def yarn(freq: np.ndarray, dim: int, theta: float, factor: float, original: int) -> Tuple[np.ndarray, float]:
    """Peng et al. 2023: fast lanes keep their frequency, slow ones are divided by `factor`; and the scale of cos and sin."""
    lane = lambda turns: dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))  # noqa: E731
    low, high = max(math.floor(lane(32)), 0), min(math.ceil(lane(1)), dim - 1)
    keep = 1 - np.clip((np.arange(dim // 2) - low) / max(high - low, 0.001), 0, 1)
    return freq * keep + freq / factor * (1 - keep), 0.1 * math.log(factor) + 1


def rope_table(get: Any, w: Weights, count: int, dim: int) -> Tuple[np.ndarray, np.ndarray]:
    theta = get("rope.freq_base", 10000.0)
    freq = theta ** (-np.arange(0, dim, 2) / dim)
    scale = 1.0
    if "rope_freqs.weight" in w.tensors:
        freq = freq / w.tensors["rope_freqs.weight"]
    if get("rope.scaling.type", "none") == "linear":
        freq = freq / get("rope.scaling.factor")
    if get("rope.scaling.type", "none") == "yarn":
        freq, scale = yarn(freq, dim, theta, get("rope.scaling.factor"), get("rope.scaling.original_context_length"))
    angle = np.arange(count)[:, None] * freq
    return scale * np.cos(angle), scale * np.sin(angle)


def rotate(x: np.ndarray, table: Tuple[np.ndarray, np.ndarray], neighbours: bool) -> np.ndarray:
    """x: [tokens, heads, head_dim]; pairs are (2i, 2i+1) for arch llama, (i, i + head_dim/2) otherwise."""
    cos, sin = table[0][:, None, :], table[1][:, None, :]
    half = x.shape[-1] // 2
    a, b = (x[..., 0::2], x[..., 1::2]) if neighbours else (x[..., :half], x[..., half:])
    out = np.empty_like(x)
    first, second = (slice(0, None, 2), slice(1, None, 2)) if neighbours else (slice(0, half), slice(half, None))
    out[..., first], out[..., second] = a * cos - b * sin, b * cos + a * sin
    return out


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, window: int) -> np.ndarray:
    """[tokens, heads, head_dim] and [tokens, kv_heads, head_dim] -> [tokens, heads * head_dim], one head at a time."""
    tokens, heads, head_dim = q.shape
    row, col = np.arange(tokens)[:, None], np.arange(tokens)[None, :]
    visible = (col <= row) & (col > row - window)
    out = np.empty_like(q)
    for h in range(heads):
        j = h // (heads // k.shape[1])
        score = np.where(visible, q[:, h] @ k[:, j].T / math.sqrt(head_dim), -np.inf)
        p = np.exp(score - score.max(-1, keepdims=True))
        out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, j]
    return out.reshape(tokens, -1)


def forward(metadata: Dict[str, Any], w: Weights, ids: np.ndarray) -> np.ndarray:
    arch = metadata["general.architecture"]
    get = lambda key, *default: metadata.get(f"{arch}.{key}", *default)  # noqa: E731
    gpt2 = arch == "gpt2"
    heads = get("attention.head_count")
    kv_heads = get("attention.head_count_kv", heads)
    head_dim = get("attention.key_length", get("embedding_length") // heads)
    eps = get("attention.layer_norm_epsilon" if gpt2 else "attention.layer_norm_rms_epsilon")
    x = w.tensors["token_embd.weight"][ids]
    if gpt2:
        x = x + w.tensors["position_embd.weight"][: len(ids)]
    table = rope_table(get, w, len(ids), head_dim)
    for i in range(get("block_count")):
        b = f"blk.{i}."
        y = w.norm(b + "attn_norm", x, eps, gpt2)
        if gpt2:
            q, k, v = np.split(w.linear(b + "attn_qkv", y), 3, axis=-1)
        else:
            q, k, v = (w.linear(b + n, y) for n in ("attn_q", "attn_k", "attn_v"))
        q, k, v = (t.reshape(len(ids), n, head_dim) for t, n in ((q, heads), (k, kv_heads), (v, kv_heads)))
        if b + "attn_q_norm.weight" in w.tensors:
            q, k = w.norm(b + "attn_q_norm", q, eps, False), w.norm(b + "attn_k_norm", k, eps, False)
        if not gpt2:
            q, k = rotate(q, table, arch == "llama"), rotate(k, table, arch == "llama")
        x = x + w.linear(b + "attn_output", attend(q, k, v, get("attention.sliding_window", len(ids))))
        y = w.norm(b + "ffn_norm", x, eps, gpt2)
        if gpt2:
            u = w.linear(b + "ffn_up", y)
            hidden = 0.5 * u * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
        else:
            g = w.linear(b + "ffn_gate", y)
            hidden = g / (1 + np.exp(-g)) * w.linear(b + "ffn_up", y)
        x = x + w.linear(b + "ffn_down", hidden)
    return w.linear("output" if "output.weight" in w.tensors else "token_embd", w.norm("output_norm", x, eps, gpt2))


def main() -> int:
    worst = 0.0
    for folder in sorted(p.parent for p in pathlib.Path(__file__).parent.glob("*/expected.json")):
        expected = json.loads((folder / "expected.json").read_text())
        want = np.fromfile(folder / "expected_logits.f32", "<f4").reshape(-1, expected["vocab"])
        metadata, tensors = read_gguf(str(folder / "model.gguf"))
        got = forward(metadata, Weights(tensors), np.array(expected["prompt"] + expected["greedy"]))
        difference = float(np.abs(got - want).max())
        greedy = got[len(expected["prompt"]) - 1 : -1].argmax(-1).tolist()
        worst = max(worst, difference)
        print(f"{folder.name:20} largest difference {difference:.2e}  greedy {'equal' if greedy == expected['greedy'] else greedy}")
        if greedy != expected["greedy"]:
            return 1
    return 0 if worst < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
