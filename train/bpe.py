"""Byte-level BPE, trained and applied in plain Python; same ids as any reader of `tokenizer.ggml.pre = gpt-2`.

Text is cut by GPT-2's pattern, each piece is a sequence of bytes, and the learnt merges are applied lowest rank first.
Ids: 0..255 are the bytes in GPT-2's printable order, then one id per merge, and last the end-of-text token.
"""
from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from typing import DefaultDict, Dict, Iterable, List, Set, Tuple

END_OF_TEXT = "<|endoftext|>"
Pair = Tuple[int, int]


def char_class(major: str) -> str:
    r"""The inside of a character class that equals \p{major}: Python's `re` lacks Unicode properties."""
    ranges: List[str] = []
    start = -1
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == major
        if inside and start < 0:
            start = code
        elif not inside and start >= 0:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = -1
    return "".join(ranges)


def gpt2_pattern() -> "re.Pattern[str]":
    letter, number = char_class("L"), char_class("N")
    return re.compile(rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{letter}]+| ?[{number}]+| ?[^\s{letter}{number}]+|\s+(?!\S)|\s+")


def byte_order() -> List[int]:
    """GPT-2's order of the 256 bytes: printable ones first."""
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    return printable + [b for b in range(256) if b not in set(printable)]


def byte_symbols() -> Dict[int, str]:
    """byte -> the printable character that stands for it in token strings."""
    order, printable = byte_order(), 188
    return {b: chr(b) if i < printable else chr(256 + i - printable) for i, b in enumerate(order)}


def learn_merges(words: Dict[bytes, int], count: int) -> List[Pair]:
    """The `count` most frequent merges; ties go to the smaller pair of ids, so the result is reproducible."""
    rank_of_byte = {b: i for i, b in enumerate(byte_order())}
    items = sorted(words.items())
    pieces = [[rank_of_byte[b] for b in word] for word, _ in items]
    freq = [n for _, n in items]
    pairs: Counter = Counter()
    where: DefaultDict[Pair, Set[int]] = defaultdict(set)
    for w, ids in enumerate(pieces):
        for pair in zip(ids, ids[1:]):
            pairs[pair] += freq[w]
            where[pair].add(w)
    merges: List[Pair] = []
    while len(merges) < count and pairs:
        best = min(pairs, key=lambda p: (-pairs[p], p))
        new_id = 256 + len(merges)
        merges.append(best)
        for w in where.pop(best):
            old = pieces[w]
            for pair in zip(old, old[1:]):
                pairs[pair] -= freq[w]
            pieces[w] = new = merge_pair(old, best, new_id)
            for pair in zip(new, new[1:]):
                pairs[pair] += freq[w]
                where[pair].add(w)
        del pairs[best]
    return merges


def merge_pair(ids: List[int], pair: Pair, new_id: int) -> List[int]:
    out: List[int] = []
    i = 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


class Tokenizer:
    """Encodes and decodes with a fixed list of merges."""

    def __init__(self, merges: Iterable[Pair]) -> None:
        self.merges: List[Pair] = [tuple(m) for m in merges]  # type: ignore[misc]
        self.rank: Dict[Pair, int] = {m: i for i, m in enumerate(self.merges)}
        self.pattern = gpt2_pattern()
        self.to_id = {b: i for i, b in enumerate(byte_order())}
        self.bytes_of: List[bytes] = [bytes([b]) for b in byte_order()]
        for a, b in self.merges:
            self.bytes_of.append(self.bytes_of[a] + self.bytes_of[b])
        self.end_id = len(self.bytes_of)
        self.vocab = self.end_id + 1
        self.cache: Dict[str, List[int]] = {}

    @staticmethod
    def train(texts: Iterable[str], vocab: int) -> "Tokenizer":
        pattern = gpt2_pattern()
        words: Counter = Counter()
        for text in texts:
            words.update(pattern.findall(text))
        return Tokenizer(learn_merges({w.encode(): n for w, n in words.items()}, vocab - 257))

    def encode_piece(self, piece: str) -> List[int]:
        ids = [self.to_id[b] for b in piece.encode()]
        while len(ids) > 1:
            best = min(zip(ids, ids[1:]), key=lambda p: self.rank.get(p, len(self.rank)))
            if best not in self.rank:
                break
            ids = merge_pair(ids, best, 256 + self.rank[best])
        return ids

    def encode(self, text: str) -> List[int]:
        out: List[int] = []
        for piece in self.pattern.findall(text):
            ids = self.cache.get(piece)
            if ids is None:
                ids = self.cache[piece] = self.encode_piece(piece)
            out.extend(ids)
        return out

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(self.bytes_of[i] if i < self.end_id else b"" for i in ids).decode("utf-8", "replace")

    def token_strings(self) -> List[str]:
        """Every token as printable text, in id order: the form that GGUF and Hugging Face files carry."""
        symbol = byte_symbols()
        return ["".join(symbol[b] for b in t) for t in self.bytes_of] + [END_OF_TEXT]

    def merge_strings(self) -> List[str]:
        text = self.token_strings()
        return [f"{text[a]} {text[b]}" for a, b in self.merges]
