"""Tokenizer: training is reproducible, encoding round-trips, ids equal those of the `tokenizers` library."""
from __future__ import annotations

import json
import unittest

from train.bpe import Tokenizer
from train.tests.needs import needs

STORY = "Once upon a time there was a king, and the king's daughter had 12 golden apples. \"Alas!\" she said; and she wept. " * 20
HARD = ["", " ", "\n\n\n", "don't  stop", "na\u00efve \u2014 \u65e5\u672c\u8a9e 12\u00bd\u00b3 I'LL it's \U0001f642\t... \r\n end  ", "a" * 100, "x\u0000y\u00ff"]


class BpeTest(unittest.TestCase):
    def test_training_is_reproducible_and_full_size(self) -> None:
        a, b = Tokenizer.train([STORY], 320), Tokenizer.train([STORY], 320)
        self.assertEqual(a.merges, b.merges)
        self.assertEqual(a.vocab, 320)

    def test_round_trip(self) -> None:
        t = Tokenizer.train([STORY], 320)
        for text in HARD + [STORY]:
            self.assertEqual(t.decode(t.encode(text)), text)

    def test_merges_shorten_text(self) -> None:
        t = Tokenizer.train([STORY], 400)
        self.assertLess(len(t.encode(STORY)), len(STORY) / 2)

    @needs("tokenizers", "torch")
    def test_same_ids_as_tokenizers(self) -> None:
        from tokenizers import Tokenizer as Other
        from train.export import hf_tokenizer

        t = Tokenizer.train([STORY], 400)
        other = Other.from_str(json.dumps(hf_tokenizer(t)))
        for text in HARD + [STORY]:
            self.assertEqual(other.encode(text).ids, [t.end_id] + t.encode(text))


if __name__ == "__main__":
    unittest.main()
