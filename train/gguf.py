"""A small GGUF v3 writer and reader: header, typed metadata, tensor table, aligned data.

Layout: "GGUF", version, tensor count, metadata count; then key/value pairs; then per tensor name, dims (fastest first), type,
offset; then the data, every tensor starting at a multiple of 32. Tensor types here: F32, F16, BF16 and Q8_0.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Dict, List, Tuple

import numpy as np

from train import quant

ALIGNMENT = 32
F32, F16, Q8_0, BF16 = 0, 1, 8, 30
UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
SCALARS = {UINT8: "B", INT8: "b", UINT16: "H", INT16: "h", UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?",
           UINT64: "Q", INT64: "q", FLOAT64: "d"}


@dataclass(frozen=True)
class Value:
    """One metadata value with its GGUF type; `item` is the element type of an array."""

    kind: int
    data: Any
    item: int = -1


def u32(x: int) -> Value:
    return Value(UINT32, x)


def f32(x: float) -> Value:
    return Value(FLOAT32, x)


def text(x: str) -> Value:
    return Value(STRING, x)


def flag(x: bool) -> Value:
    return Value(BOOL, x)


def array(item: int, xs: List[Any]) -> Value:
    return Value(ARRAY, xs, item)


def encode_tensor(x: np.ndarray, kind: int) -> bytes:
    x = np.ascontiguousarray(x, dtype=np.float32)
    if kind == F32:
        return x.tobytes()
    if kind == F16:
        return x.astype(np.float16).tobytes()
    if kind == BF16:
        return quant.to_bf16(x).tobytes()
    if kind == Q8_0:
        return quant.encode_q8_0(x)
    raise ValueError(f"tensor type {kind}: expected F32, F16, BF16 or Q8_0")


def decode_tensor(raw: bytes, kind: int, shape: Tuple[int, ...]) -> np.ndarray:
    if kind == F32:
        return np.frombuffer(raw, np.float32).reshape(shape)
    if kind == F16:
        return np.frombuffer(raw, np.float16).astype(np.float32).reshape(shape)
    if kind == BF16:
        return quant.from_bf16(np.frombuffer(raw, np.uint16)).reshape(shape)
    if kind == Q8_0:
        return quant.decode_q8_0(raw).reshape(shape)
    raise ValueError(f"tensor type {kind}: expected F32, F16, BF16 or Q8_0")


def tensor_bytes(kind: int, count: int) -> int:
    return {F32: 4 * count, F16: 2 * count, BF16: 2 * count, Q8_0: count // 32 * 34}[kind]


def pack_string(s: str) -> bytes:
    raw = s.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def pack_scalar(kind: int, x: Any) -> bytes:
    return pack_string(x) if kind == STRING else struct.pack("<" + SCALARS[kind], x)


def pack_value(v: Value) -> bytes:
    head = struct.pack("<I", v.kind)
    if v.kind != ARRAY:
        return head + pack_scalar(v.kind, v.data)
    return head + struct.pack("<IQ", v.item, len(v.data)) + b"".join(pack_scalar(v.item, x) for x in v.data)


def write_gguf(path: str, metadata: Dict[str, Value], tensors: Dict[str, Tuple[np.ndarray, int]]) -> None:
    """tensors: name -> (array whose last axis is contiguous in memory, tensor type)."""
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        out += pack_string(key) + pack_value(value)
    data = bytearray()
    for name, (x, kind) in tensors.items():
        data += bytes(-len(data) % ALIGNMENT)
        dims = tuple(reversed(x.shape))
        out += pack_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += encode_tensor(x, kind)
    out += bytes(-len(out) % ALIGNMENT)
    with open(path, "wb") as f:
        f.write(bytes(out) + bytes(data) + bytes(-len(data) % ALIGNMENT))


class Cursor:
    def __init__(self, f: BinaryIO) -> None:
        self.f = f

    def scalar(self, kind: int) -> Any:
        if kind == STRING:
            return self.f.read(self.scalar(UINT64)).decode("utf-8")
        code = "<" + SCALARS[kind]
        return struct.unpack(code, self.f.read(struct.calcsize(code)))[0]

    def value(self) -> Any:
        kind = self.scalar(UINT32)
        if kind != ARRAY:
            return self.scalar(kind)
        item, count = self.scalar(UINT32), self.scalar(UINT64)
        return [self.scalar(item) for _ in range(count)]


def read_gguf(path: str) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """(metadata, tensors dequantized to f32). Meant for files of this project, not for hostile ones."""
    with open(path, "rb") as f:
        if f.read(4) != b"GGUF":
            raise ValueError(f"{path}: expected a GGUF file")
        c = Cursor(f)
        version, tensors, pairs = c.scalar(UINT32), c.scalar(UINT64), c.scalar(UINT64)
        if version != 3:
            raise ValueError(f"{path}: expected version 3, found {version}")
        metadata = {c.scalar(STRING): c.value() for _ in range(pairs)}
        table = []
        for _ in range(tensors):
            name = c.scalar(STRING)
            dims = [c.scalar(UINT64) for _ in range(c.scalar(UINT32))]
            table.append((name, tuple(reversed(dims)), c.scalar(UINT32), c.scalar(UINT64)))
        base = f.tell() + (-f.tell() % ALIGNMENT)
        out = {}
        for name, shape, kind, offset in table:
            f.seek(base + offset)
            out[name] = decode_tensor(f.read(tensor_bytes(kind, int(np.prod(shape)))), kind, shape)
        return metadata, out
