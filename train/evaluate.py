"""Bits per byte on held-out books: total nats / ln 2 / bytes of UTF-8 text, per book and over all.

    python -m train.evaluate --model RUN/checkpoint.pt|model.gguf --tokenizer merges.json --data DIR

Each book is one row of tokens (end-of-text in front of every tale or chapter, as in training; the bytes are those of the stripped
documents, and predicting each end-of-text counts as cost). Windows of `context` tokens advance by `stride`; a token is scored once,
in the first window that holds it, so it sees at least context - stride earlier tokens except near the start of the book.
"""
from __future__ import annotations

import argparse
import math
from typing import Dict, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F

from train.data import Document, encode_documents, read_documents
from train.gguf_model import load_gguf_model
from train.model import Transformer, load_model
from train.tokenize_data import load_tokenizer


@torch.no_grad()
def total_nats(model: Transformer, row: np.ndarray, context: int, stride: int) -> float:
    """Cost of row[1:]; row[0] is given."""
    ids = torch.from_numpy(row.astype(np.int64))
    nats, scored = 0.0, 1
    for begin in range(0, max(1, len(ids) - 1), stride):
        piece = ids[begin : begin + context + 1]
        skip = scored - begin - 1  # targets of this window that an earlier window has scored
        logits = model(piece[None, :-1])[0, skip:]
        nats += float(F.cross_entropy(logits.double(), piece[1 + skip :], reduction="sum"))
        scored = begin + len(piece)
        if scored >= len(ids):
            break
    return nats


def evaluate(model: Transformer, books: Dict[str, Tuple[np.ndarray, int]], stride: int) -> None:
    sums = [0.0, 0, 0]
    for name, (row, size) in books.items():
        nats = total_nats(model, row, model.config.context, stride)
        sums = [sums[0] + nats, sums[1] + size, sums[2] + len(row) - 1]
        print(f"{name:45} {nats / math.log(2) / size:.4f} bits/byte, {nats / (len(row) - 1):.4f} nats/token, {size} bytes", flush=True)
    print(f"{'all':45} {sums[0] / math.log(2) / sums[1]:.4f} bits/byte, {sums[0] / sums[2]:.4f} nats/token, {sums[1]} bytes")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", required=True, help="checkpoint.pt or a .gguf of this project")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--stride", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--limit-tokens", type=int, default=0, help="only the first tokens of each book, for a quick look")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    tokenizer = load_tokenizer(a.tokenizer)
    model = load_gguf_model(a.model) if a.model.endswith(".gguf") else load_model(a.model)
    by_file: Dict[str, List[Document]] = {}
    for d in read_documents(a.data):
        by_file.setdefault(d.file, []).append(d)
    books = {}
    for name, documents in by_file.items():
        row = np.concatenate(encode_documents(documents, tokenizer))
        row = row[: a.limit_tokens] if a.limit_tokens else row
        size = len(tokenizer.decode(int(i) for i in row).encode())
        books[name] = (row, size)
    evaluate(model, books, a.stride)


if __name__ == "__main__":
    main()
