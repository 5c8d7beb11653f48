"""Writes the golden models and their expected logits: `python tests/golden/make_golden.py` (torch and transformers needed).

Per fixture: random weights from a fixed seed, saved as a Hugging Face folder; transformers loads that folder back, runs in double
precision with eager attention and decodes greedily; the same weights go to GGUF. Seeds are tried until the greedy choice wins by a
clear margin at every step, so that rounding in a correct implementation cannot flip a token.
"""
from __future__ import annotations

import json
import pathlib
import sys
from typing import Dict, List, Tuple

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.golden.fixtures import FIXTURES, Fixture  # noqa: E402
from tests.golden.gguf_export import to_gguf  # noqa: E402
from train.gguf import BF16, F32, write_gguf  # noqa: E402
from train.quant import from_bf16, to_bf16  # noqa: E402
from train.safetensors_file import write_safetensors  # noqa: E402

PROMPT_TOKENS, GREEDY_TOKENS, MARGIN = 24, 8, 0.1


def random_tensor(name: str, shape: Tuple[int, ...], tied: bool, rng: np.random.RandomState) -> np.ndarray:
    """Wide enough that attention is far from uniform and that every norm weight and bias matters."""
    x = rng.standard_normal(shape)
    if name.endswith(".bias"):
        return 0.3 * x
    if len(shape) == 1:
        return 1 + 0.3 * x
    if "embed_tokens" in name or ".wte." in name or ".wpe." in name:
        return (0.4 if tied else 1.0) * x
    fan_in = shape[0] if ".c_" in name else shape[1]
    return (1.6 if any(k in name for k in ("q_proj", "k_proj", "c_attn", "lm_head")) else 1.0) * x / fan_in**0.5


def random_weights(fixture: Fixture, seed: int) -> Dict[str, np.ndarray]:
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fixture.config))
    tied = fixture.config.get("tie_word_embeddings", True)
    rng = np.random.RandomState(seed)
    out: Dict[str, np.ndarray] = {}
    for name, p in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        x = random_tensor(name, tuple(p.shape), tied, rng).astype(np.float32)
        out[name] = from_bf16(to_bf16(x)) if fixture.bf16 else x
    return out


def greedy_with_logits(folder: pathlib.Path, prompt: List[int]) -> Tuple[List[int], np.ndarray]:
    """(greedy ids, logits [prompt + greedy, vocab]) of the saved folder."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(GREEDY_TOKENS):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    return ids[len(prompt) :], logits.double().numpy()


def smallest_margin(logits: np.ndarray) -> float:
    top = np.sort(logits[PROMPT_TOKENS - 1 : -1], axis=-1)
    return float((top[:, -1] - top[:, -2]).min())


def write_fixture(fixture: Fixture, root: pathlib.Path) -> None:
    folder = root / fixture.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fixture.config, indent=2) + "\n")
    for seed in range(100):
        weights = random_weights(fixture, seed)
        write_safetensors(str(folder / "model.safetensors"), weights, fixture.bf16)
        prompt = [int(t) for t in np.random.RandomState(1000 + seed).randint(3, fixture.config["vocab_size"], PROMPT_TOKENS)]
        greedy, logits = greedy_with_logits(folder, prompt)
        if smallest_margin(logits) > MARGIN and len(set(greedy)) > 3:
            break
    metadata, tensors = to_gguf(fixture.name, fixture.config, weights, BF16 if fixture.bf16 else F32)
    write_gguf(str(folder / "model.gguf"), metadata, tensors)
    logits.astype("<f4").tofile(folder / "expected_logits.f32")
    expected = dict(name=fixture.name, why=fixture.why, vocab=fixture.config["vocab_size"], prompt=prompt, greedy=greedy,
                    logits_rows=len(logits), smallest_greedy_margin=round(smallest_margin(logits), 4), seed=seed)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(f"{fixture.name}: seed {seed}, margin {smallest_margin(logits):.3f}, greedy {greedy}, logit std {logits.std():.2f}")


def main() -> None:
    torch.set_num_threads(1)
    wanted = set(sys.argv[1:])
    for fixture in FIXTURES:
        if not wanted or fixture.name in wanted:
            write_fixture(fixture, ROOT / "tests" / "golden")


if __name__ == "__main__":
    main()
