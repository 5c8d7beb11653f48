"""Export round trip: a written GGUF is read back to the same logits, and by the `gguf` package where it is installed."""
from __future__ import annotations

import os
import tempfile
import unittest

from train.tests.needs import needs


@needs("numpy")
class FormatsTest(unittest.TestCase):
    def test_q8_0_error_is_half_a_step(self) -> None:
        import numpy as np
        from train.quant import decode_q8_0, encode_q8_0

        x = np.random.RandomState(0).standard_normal((64, 96)).astype(np.float32)
        x[3, :32] = 0
        y = decode_q8_0(encode_q8_0(x)).reshape(x.shape)
        step = np.repeat(np.abs(x.reshape(-1, 32)).max(1) / 127, 32).reshape(x.shape)
        self.assertTrue(np.all(np.abs(x - y) <= 0.5 * step + 127 * step * 2.0**-11))  # rounding of q, and of the f16 scale
        self.assertTrue(np.all(y[3, :32] == 0))

    def test_bf16_rounds_to_nearest_even(self) -> None:
        import numpy as np
        from train.quant import from_bf16, to_bf16

        x = np.array([1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -2.5], np.float32)
        self.assertEqual(from_bf16(to_bf16(x)).tolist(), [1.0, 1.0, 1 + 2.0**-6, -2.5])

    def test_safetensors_round_trip(self) -> None:
        import numpy as np
        from train.safetensors_file import read_safetensors, write_safetensors

        x = {"a.b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.ones(5, np.float32)}
        with tempfile.TemporaryDirectory() as folder:
            for bf16 in (False, True):
                write_safetensors(folder + "/m.safetensors", x, bf16)
                y = read_safetensors(folder + "/m.safetensors")
                self.assertTrue(all(np.array_equal(x[k], y[k]) for k in x))


@needs("torch", "numpy")
class ExportTest(unittest.TestCase):
    def export(self, folder: str, kind: str):  # type: ignore[no-untyped-def]
        from train.bpe import Tokenizer
        from train.export import export_gguf
        from train.model import ModelConfig, Transformer
        from train.tests.tiny import fill

        tokenizer = Tokenizer.train(["some text to learn from, some text"], 288)
        config = ModelConfig(vocab=tokenizer.vocab, model_dim=64, layers=2, heads=4, kv_heads=2, head_dim=16, ff_dim=96, context=16)
        model, path = fill(Transformer(config)), os.path.join(folder, "m.gguf")
        export_gguf(model, tokenizer, path, kind, "test")
        return model, tokenizer, path

    def test_round_trip(self) -> None:
        import torch
        from train.gguf_model import load_gguf_model

        ids = torch.arange(12)[None]
        for kind, tolerance in (("f32", 0.0), ("f16", 0.02), ("bf16", 0.2), ("q8_0", 0.2)):
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                model, _, path = self.export(folder, kind)
                difference = float((model(ids) - load_gguf_model(path)(ids)).abs().max())
            self.assertLessEqual(difference, tolerance, kind)

    @needs("gguf")
    def test_gguf_package_reads_it(self) -> None:
        from gguf import GGUFReader

        with tempfile.TemporaryDirectory() as folder:
            _, tokenizer, path = self.export(folder, "q8_0")
            reader = GGUFReader(path)
            self.assertEqual(len(reader.tensors), 2 + 9 * 2)
            self.assertEqual(len(reader.fields["tokenizer.ggml.tokens"].data), tokenizer.vocab)
            self.assertEqual(reader.fields["general.architecture"].contents(), "llama")


if __name__ == "__main__":
    unittest.main()
