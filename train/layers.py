"""Reference layers of the llama family, written to be read: each `forward` is the formula.

They are the oracle for the C++ layers and, at the same time, what the shipped model is trained with.
Shapes: x is [batch, seq_len, model_dim]; q is [batch, heads, seq_len, head_dim]; k and v have kv_heads in place of heads.
"""
from __future__ import annotations

import math
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """y = x / sqrt(mean(x^2) + eps) * weight   (Zhang and Sennrich 2019, eq. 4); computed in f32 or better."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        y = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).type_as(x)


def rotary_table(seq_len: int, head_dim: int, theta: float) -> Tuple[Tensor, Tensor]:
    """cos and sin of position * theta^(-2i/head_dim), each [seq_len, head_dim/2]; angles are formed in f64."""
    inv_freq = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.arange(seq_len, dtype=torch.float64)[:, None] * inv_freq[None, :]
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, half-split convention: the pair of lane i is lane i + head_dim/2 (Su et al. 2021, eq. 34)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).type_as(x)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(head_dim) + causal mask) v.   q, k, v: [batch, heads, seq_len, head_dim]"""
    seq_len = q.size(-2)
    score = q @ k.transpose(-1, -2) / math.sqrt(q.size(-1))
    future = torch.ones(seq_len, seq_len, dtype=torch.bool, device=q.device).triu(1)
    return torch.softmax(score.masked_fill(future, float("-inf")), dim=-1).type_as(v) @ v


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same value as `causal_attention`, with PyTorch's tiled kernel where it exists (2.0 and newer)."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return causal_attention(q, k, v)


class Attention(nn.Module):
    """Grouped-query attention: heads/kv_heads query heads share one key/value head (Ainslie et al. 2023)."""

    def __init__(self, dim: int, heads: int, kv_heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, head_dim
        self.q_proj = nn.Linear(dim, heads * head_dim, bias=False)
        self.k_proj = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(heads * head_dim, dim, bias=False)

    def split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q = rotate(self.split_heads(self.q_proj(x)), cos, sin)
        k = rotate(self.split_heads(self.k_proj(x)), cos, sin)
        v = self.split_heads(self.v_proj(x))
        group = self.heads // self.kv_heads
        if group > 1:  # key/value head j serves query heads j*group .. j*group + group-1
            k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = fused_attention(q, k, v)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """y = W_down (silu(W_gate x) * W_up x)   (Shazeer 2020, eq. 6)."""

    def __init__(self, dim: int, ff_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, ff_dim, bias=False)
        self.up_proj = nn.Linear(dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
