"""Plain sampling from a reference model, no key/value cache: `python -m train.sample --checkpoint C --tokenizer T -p "..."`."""
from __future__ import annotations

import argparse
from typing import List

import torch

from train.bpe import Tokenizer
from train.model import Transformer, load_model
from train.tokenize_data import load_tokenizer


@torch.no_grad()
def generate(model: Transformer, ids: List[int], count: int, temperature: float, end_id: int, seed: int = 0) -> List[int]:
    """The `count` ids that follow; temperature 0 is greedy; stops at end of text. The window slides at full context."""
    rng = torch.Generator().manual_seed(seed)
    out = list(ids)
    for _ in range(count):
        logits = model(torch.tensor([out[-model.config.context :]]))[0, -1].float()
        if temperature == 0:
            new = int(logits.argmax())
        else:
            new = int(torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=rng))
        if new == end_id:
            break
        out.append(new)
    return out[len(ids) :]


def continue_text(model: Transformer, tokenizer: Tokenizer, prompt: str, count: int, temperature: float, seed: int = 0) -> str:
    ids = [tokenizer.end_id] + tokenizer.encode(prompt)
    return prompt + tokenizer.decode(generate(model, ids, count, temperature, tokenizer.end_id, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("-p", "--prompt", default="Once upon a time")
    parser.add_argument("-n", "--count", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    model, tokenizer = load_model(a.checkpoint), load_tokenizer(a.tokenizer)
    print(continue_text(model, tokenizer, a.prompt, a.count, a.temperature, a.seed))


if __name__ == "__main__":
    main()
