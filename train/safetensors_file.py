"""A small safetensors writer and reader: u64 header length, JSON header, raw little-endian data. F32 and BF16."""
from __future__ import annotations

import json
import struct
from typing import Dict

import numpy as np

from train import quant


def write_safetensors(path: str, tensors: Dict[str, np.ndarray], bf16: bool = False) -> None:
    header: Dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    for name, x in tensors.items():
        raw = quant.to_bf16(x).tobytes() if bf16 else np.ascontiguousarray(x, dtype=np.float32).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "BF16" if bf16 else "F32", "shape": list(x.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + bytes(data))


def read_safetensors(path: str) -> Dict[str, np.ndarray]:
    """Tensors as f32."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    out = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        raw = data[begin:end]
        x = np.frombuffer(raw, np.float32) if info["dtype"] == "F32" else quant.from_bf16(np.frombuffer(raw, np.uint16))
        out[name] = x.reshape(info["shape"])
    return out
