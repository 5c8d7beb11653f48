"""A random model in which every matrix matters (training starts some at zero)."""
from __future__ import annotations

import torch

from train.model import Transformer


def fill(model: Transformer, seed: int = 0) -> Transformer:
    rng = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        scale = 0.3 if p.dim() == 1 else p.size(1) ** -0.5
        p.data = (1.0 if p.dim() == 1 else 0.0) + scale * torch.randn(p.shape, generator=rng)
    return model.eval()
