"""Data cutting, the optimizer and the schedule."""
from __future__ import annotations

import pathlib
import tempfile
import time
import unittest

from train.tests.needs import needs


@needs("torch", "numpy")
class TrainingTest(unittest.TestCase):
    def test_documents_and_tiers(self) -> None:
        from train.data import read_documents

        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "a.txt").write_text("TITLE\n\nOne.\n\n\n\nSECOND\n\nTwo.\n")
            (root / "b.txt").write_text("Three.")
            (root / "SOURCE.txt").write_text("file | bytes | words | sha256 | tier | title\na.txt | 1 | 1 | x | B | t\n")
            got = [(d.file, d.tier, d.text) for d in read_documents(folder)]
        self.assertEqual(got, [("a.txt", "B", "TITLE\n\nOne."), ("a.txt", "B", "SECOND\n\nTwo."), ("b.txt", "A", "Three.")])

    def test_seek_repeats_the_stream(self) -> None:
        import numpy as np
        from train.data import Batches

        rows = [np.arange(i, i + 50, dtype=np.uint16) for i in range(10)]
        a, b = Batches(rows, 8, 4, seed=3), Batches(rows, 8, 4, seed=3)
        for _ in range(20):
            next(a)
        b.seek(a.epoch, a.position)
        self.assertGreater(a.epoch, 0)
        self.assertEqual(next(a)[0].tolist(), next(b)[0].tolist())

    def test_orthogonalize_flattens_singular_values(self) -> None:
        import torch
        from train.muon import orthogonalize

        torch.manual_seed(0)
        for shape in ((2, 16, 48), (2, 48, 16)):
            s = torch.linalg.svdvals(orthogonalize(torch.randn(*shape)))
            self.assertTrue(bool(((s > 0.6) & (s < 1.3)).all()), s)

    def test_schedule_ends_at_zero(self) -> None:
        from train.schedule import WallClockSchedule

        now = time.time()
        self.assertAlmostEqual(WallClockSchedule(now - 10, now + 90, 0.4, 1).factor(5), 1.0)
        self.assertAlmostEqual(WallClockSchedule(now - 80, now + 20, 0.4, 1).factor(5), 0.5, places=2)
        self.assertEqual(WallClockSchedule(now - 10, now - 1, 0.4, 1).factor(5), 0.0)

    def test_loss_falls(self) -> None:
        import torch
        from train.model import ModelConfig, Transformer
        from train.muon import Muon

        torch.manual_seed(0)
        model = Transformer(ModelConfig(vocab=32, model_dim=32, layers=1, heads=2, kv_heads=1, head_dim=16, ff_dim=32, context=16))
        matrices = [p for p in model.layers.parameters() if p.dim() == 2]
        steps = [Muon(matrices, 0.02), torch.optim.AdamW([model.embed_tokens.weight, model.norm.weight], 0.01)]
        ids = torch.arange(16)[None] % 5
        first = last = 0.0
        for i in range(30):
            loss = model(ids[:, :-1], ids[:, 1:])
            loss.backward()
            for s in steps:
                s.step()
                s.zero_grad()
            last = float(loss.detach())
            first = last if i == 0 else first
        self.assertLess(last, 0.2 * first)


if __name__ == "__main__":
    unittest.main()
