"""The llama-family transformer built from `layers`: embed; per block norm, attention, add, norm, ffn, add; norm; logits.

Module names give exactly the tensor names of a Hugging Face `LlamaForCausalLM` checkpoint, so export is a copy.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.layers import Attention, RMSNorm, SwiGLU, rotary_table


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of one model. Every matrix dimension of the shipped one is a multiple of 32 (the Q8_0 block)."""

    vocab: int = 4096
    model_dim: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ff_dim: int = 672
    context: int = 512
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    def as_dict(self) -> Dict[str, object]:
        return asdict(self)


class Block(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(c.model_dim, c.norm_eps)
        self.self_attn = Attention(c.model_dim, c.heads, c.kv_heads, c.head_dim)
        self.post_attention_layernorm = RMSNorm(c.model_dim, c.norm_eps)
        self.mlp = SwiGLU(c.model_dim, c.ff_dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Transformer(nn.Module):
    """Token ids [batch, seq_len] -> logits [batch, seq_len, vocab]; the embedding matrix is also the output matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab, config.model_dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.model_dim, config.norm_eps)
        cos, sin = rotary_table(config.context, config.head_dim, config.rope_theta)
        self.register_buffer("cos", cos.float(), persistent=False)
        self.register_buffer("sin", sin.float(), persistent=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Small embeddings, 1/sqrt(fan_in) matrices; matrices that write to the residual stream start at zero."""
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        for name, p in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(p)
            elif p.dim() == 2 and "proj" in name:
                nn.init.normal_(p, std=p.size(1) ** -0.5)

    def hidden(self, ids: Tensor) -> Tensor:
        x = self.embed_tokens(ids)
        cos, sin = self.cos[: ids.size(1)], self.sin[: ids.size(1)]
        for block in self.layers:
            x = block(x, cos, sin)
        return self.norm(x)

    def forward(self, ids: Tensor, targets: Optional[Tensor] = None) -> Tensor:
        """Logits, or with `targets` the mean loss in nats per token."""
        logits = F.linear(self.hidden(ids), self.embed_tokens.weight)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def load_model(path: str) -> Transformer:
    """The model of a checkpoint written by `train.run` (weights only; runs in f32)."""
    state = torch.load(path, map_location="cpu")
    model = Transformer(ModelConfig(**state["config"]))
    model.load_state_dict(state["model"])
    return model.eval()
