"""Story files -> documents -> one long row of token ids, with the end-of-text token in front of every document.

A data folder holds *.txt files (one paragraph a line; a tale or chapter begins after four newlines) and optionally a
SOURCE.txt whose table `file | ... | tier | ...` marks each file A (simple narration) or B (longer sentences).
Each epoch shuffles the documents and cuts the row into windows; windows may span documents.
"""
from __future__ import annotations

import pathlib
import random
from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from train.bpe import Tokenizer

DOCUMENT_BREAK = "\n\n\n\n"


@dataclass(frozen=True)
class Document:
    file: str
    tier: str
    text: str


def read_tiers(folder: pathlib.Path) -> Dict[str, str]:
    source = folder / "SOURCE.txt"
    rows = source.read_text(encoding="utf-8").splitlines() if source.exists() else []
    cells = [[c.strip() for c in row.split(" | ")] for row in rows]
    return {c[0]: c[4] for c in cells if len(c) > 5 and c[0].endswith(".txt")}


def read_documents(folder: str) -> List[Document]:
    root = pathlib.Path(folder)
    tiers = read_tiers(root)
    out: List[Document] = []
    for path in sorted(root.glob("*.txt")):
        if path.name == "SOURCE.txt":
            continue
        parts = path.read_text(encoding="utf-8").split(DOCUMENT_BREAK)
        tier = tiers.get(path.name, "A")
        out.extend(Document(path.name, tier, p.strip("\n")) for p in parts if p.strip())
    return out


def hold_out(documents: Sequence[Document], every: int = 100) -> Tuple[List[Document], List[Document]]:
    """(training, development): every 100th document watches the training curve, so that the held-out books need not."""
    every = min(every, len(documents))
    train = [d for i, d in enumerate(documents) if i % every != every - 1]
    return train, [d for i, d in enumerate(documents) if i % every == every - 1]


def encode_documents(documents: Sequence[Document], tokenizer: Tokenizer) -> List[np.ndarray]:
    return [np.array([tokenizer.end_id] + tokenizer.encode(d.text), dtype=np.uint16) for d in documents]


def windows(encoded: Sequence[np.ndarray], context: int, seed: int) -> np.ndarray:
    """One epoch: [count, context + 1]; neighbours share one token, the last one predicted is the first one read."""
    order = list(range(len(encoded)))
    random.Random(seed).shuffle(order)
    row = np.concatenate([encoded[i] for i in order])
    count = (len(row) - 1) // context
    if count < 1:
        raise ValueError(f"too little text: {len(row)} tokens do not fill one window of {context + 1}")
    starts = np.arange(count) * context
    picked = np.stack([row[s : s + context + 1] for s in starts])
    return picked[np.random.RandomState(seed).permutation(count)]


class Batches:
    """Endless batches; `epoch` and `position` are the whole state, so a resumed run continues where it stopped."""

    def __init__(self, encoded: Sequence[np.ndarray], context: int, batch: int, seed: int) -> None:
        self.encoded, self.context, self.batch, self.seed = encoded, context, batch, seed
        self.epoch, self.position = 0, 0
        self.rows = windows(encoded, context, seed)

    def seek(self, epoch: int, position: int) -> None:
        self.epoch, self.position = epoch, position
        self.rows = windows(self.encoded, self.context, self.seed + epoch)

    def __iter__(self) -> Iterator[Tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> Tuple[Tensor, Tensor]:
        if self.position + self.batch > len(self.rows):
            self.seek(self.epoch + 1, 0)
        rows = self.rows[self.position : self.position + self.batch]
        self.position += self.batch
        ids = torch.from_numpy(rows.astype(np.int64))
        return ids[:, :-1], ids[:, 1:]
