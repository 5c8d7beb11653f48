"""Reference layers: equal to a naive formula, and the whole model equal to transformers."""
from __future__ import annotations

import tempfile
import unittest

from train.tests.needs import needs


@needs("torch", "numpy")
class LayersTest(unittest.TestCase):
    def test_rms_norm(self) -> None:
        import torch
        from train.layers import RMSNorm

        norm = RMSNorm(2, eps=0.0).double()
        norm.weight.data = torch.tensor([1.0, 2.0], dtype=torch.float64)
        y = norm(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
        rms = 12.5**0.5
        self.assertTrue(torch.allclose(y, torch.tensor([[3 / rms, 8 / rms]], dtype=torch.float64)))

    def test_rotation_depends_on_distance_only(self) -> None:
        import torch
        from train.layers import rotary_table, rotate

        cos, sin = rotary_table(16, 8, 10000.0)
        torch.manual_seed(0)
        q, k = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
        at = lambda x, p: rotate(x, cos[p], sin[p])  # noqa: E731
        self.assertAlmostEqual(float(at(q, 5) @ at(k, 2)), float(at(q, 13) @ at(k, 10)), places=12)

    def test_fused_attention_is_the_formula(self) -> None:
        import torch
        from train.layers import causal_attention, fused_attention

        torch.manual_seed(0)
        q, k, v = (torch.randn(2, 3, 7, 8) for _ in range(3))
        self.assertTrue(torch.allclose(fused_attention(q, k, v), causal_attention(q, k, v), atol=1e-5))

    def test_attention_sees_no_future(self) -> None:
        import torch
        from train.model import ModelConfig, Transformer
        from train.tests.tiny import fill

        model = fill(Transformer(ModelConfig(vocab=64, model_dim=32, layers=2, heads=4, kv_heads=2, head_dim=8, ff_dim=64, context=16)))
        ids = torch.arange(10)[None]
        changed = ids.clone()
        changed[0, -1] = 60
        self.assertTrue(torch.equal(model(ids)[0, :-1], model(changed)[0, :-1]))

    @needs("transformers")
    def test_model_equals_transformers(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM
        from train.bpe import Tokenizer
        from train.export import export_hf
        from train.model import ModelConfig, Transformer
        from train.tests.tiny import fill

        tokenizer = Tokenizer.train(["some text to learn from, some text"], 270)
        config = ModelConfig(vocab=tokenizer.vocab, model_dim=32, layers=2, heads=4, kv_heads=2, head_dim=8, ff_dim=64, context=16)
        model = fill(Transformer(config))
        with tempfile.TemporaryDirectory() as folder:
            export_hf(model, tokenizer, folder)
            other = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
        ids = torch.arange(12)[None]
        with torch.no_grad():
            self.assertTrue(torch.allclose(model(ids), other(ids).logits, atol=1e-4))


if __name__ == "__main__":
    unittest.main()
