"""Trains the tokenizer on a data folder and writes merges: `python -m train.tokenize_data --data DIR --out merges.json`."""
from __future__ import annotations

import argparse
import json
import pathlib

from train.bpe import Tokenizer
from train.data import hold_out, read_documents


def save_tokenizer(tokenizer: Tokenizer, path: str) -> None:
    pathlib.Path(path).write_text(json.dumps({"merges": tokenizer.merges}))


def load_tokenizer(path: str) -> Tokenizer:
    return Tokenizer(tuple(m) for m in json.loads(pathlib.Path(path).read_text())["merges"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--vocab", type=int, default=4096)
    args = parser.parse_args()
    documents, _ = hold_out(read_documents(args.data))
    tokenizer = Tokenizer.train((d.text for d in documents), args.vocab)
    save_tokenizer(tokenizer, args.out)
    sample = documents[0].text
    print(f"{tokenizer.vocab} tokens; {len(sample.encode()) / len(tokenizer.encode(sample)):.3f} bytes per token")


if __name__ == "__main__":
    main()
