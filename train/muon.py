"""Muon (Jordan et al. 2024): momentum whose update matrix is replaced by its nearest orthogonal matrix.

Why: per token it learns clearly faster than AdamW on small transformers, and tokens are what a CPU is short of.
The orthogonal factor comes from a quintic Newton-Schulz iteration x <- a x + (b s + c s^2) x with s = x x^T, which pushes all
singular values towards 1. Matrices of equal shape are stacked so that one batched product serves all layers.
"""
from __future__ import annotations

from collections import defaultdict
from typing import DefaultDict, Iterable, List

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    """g: [n, rows, cols] -> matrices with the same singular vectors and singular values near 1."""
    a, b, c = COEFFICIENTS
    tall = g.size(1) > g.size(2)
    x = g.transpose(1, 2) if tall else g
    x = (x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).bfloat16()  # the iteration forgives 8-bit mantissas
    for _ in range(steps):
        s = torch.bmm(x, x.transpose(1, 2))
        x = a * x + torch.bmm(b * s + c * torch.bmm(s, s), x)
    return (x.transpose(1, 2) if tall else x).type_as(g)


class Muon(torch.optim.Optimizer):
    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(list(params), dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: DefaultDict[torch.Size, List[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for same in by_shape.values():
                self.update(same, group)

    def update(self, params: List[Tensor], group: dict) -> None:
        momentum, lr = group["momentum"], group["lr"]
        directions = []
        for p in params:
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            buffer = state["momentum"].lerp_(p.grad, 1 - momentum)
            directions.append(p.grad.lerp(buffer, momentum))  # Nesterov look-ahead
        rows, cols = params[0].shape
        scale = max(1.0, rows / cols) ** 0.5
        for p, u in zip(params, orthogonalize(torch.stack(directions)).unbind(0)):
            p.mul_(1 - lr * group["weight_decay"])
            p.add_(u, alpha=-lr * scale)
