"""Number formats of weights in plain numpy: bfloat16 and Q8_0.

Q8_0: blocks of 32 along the contiguous axis; f16 scale d = max|x| / 127, then 32 int8 q = round(x / d); value = d * q.
"""
from __future__ import annotations

import numpy as np

BLOCK = 32
BLOCK_DTYPE = np.dtype([("d", "<f2"), ("q", "i1", (BLOCK,))])


def to_bf16(x: np.ndarray) -> np.ndarray:
    """Round to nearest even; the upper 16 bits of the f32."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32)


def encode_q8_0(x: np.ndarray) -> bytes:
    if x.shape[-1] % BLOCK:
        raise ValueError(f"Q8_0 needs a last dimension that is a multiple of {BLOCK}, found {x.shape[-1]}")
    blocks = x.astype(np.float32).reshape(-1, BLOCK)
    d = np.abs(blocks).max(axis=1) / np.float32(127)
    inverse = np.divide(1, d, out=np.zeros_like(d), where=d > 0)
    scaled = blocks * inverse[:, None]
    out = np.empty(len(blocks), BLOCK_DTYPE)
    out["d"] = d
    out["q"] = np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))  # half away from zero
    return out.tobytes()


def decode_q8_0(raw: bytes) -> np.ndarray:
    blocks = np.frombuffer(raw, BLOCK_DTYPE)
    return blocks["d"].astype(np.float32)[:, None] * blocks["q"].astype(np.float32)
