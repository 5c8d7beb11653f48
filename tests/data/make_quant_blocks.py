"""Writes quant_blocks.bin: random block bytes of every GGUF type with the f32 values that the reference reader (the
Python package `gguf`) gives for them. quant_test.cc requires the same bits. Needs numpy and gguf 0.19:
  python make_quant_blocks.py quant_blocks.bin
Record: name (8 bytes, zero padded), u32 bytes, u32 elements, the bytes, the f32 values."""
import struct
import sys

import gguf
import numpy as np

# type -> (blocks, offsets of f16 fields inside a block: any finite f16, as random bytes could be infinite)
TYPES = {
    "F16": (64, [0]), "BF16": (64, []), "Q8_0": (4, [0]), "Q4_0": (4, [0]), "Q4_1": (4, [0, 2]), "Q5_0": (4, [0]),
    "Q5_1": (4, [0, 2]), "Q2_K": (3, [80, 82]), "Q3_K": (3, [108]), "Q4_K": (3, [0, 2]), "Q5_K": (3, [0, 2]),
    "Q6_K": (3, [208]), "IQ4_NL": (4, [0]), "IQ4_XS": (3, [0]), "MXFP4": (8, []),
}


def blocks_of(rng, name):
    count, f16_offsets = TYPES[name]
    _, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, size=(count, block_bytes), dtype=np.uint8)
    for offset in f16_offsets:
        field = blocks[:, offset:offset + 2].copy().view(np.uint16)
        field &= np.uint16(0xBFFF)  # exponent below 16: small and finite, subnormals included
        blocks[:, offset:offset + 2] = field.view(np.uint8)
    if name == "BF16":
        blocks[:, 1] &= 0xBF
    if name == "MXFP4":
        blocks[:, 0] = [0, 1, 2, 100, 127, 128, 130, 200]
    return blocks


def main(path):
    rng = np.random.default_rng(20240607)
    with open(path, "wb") as out:
        for name in TYPES:
            blocks = blocks_of(rng, name)
            if name == "F16":  # half to single is exact: numpy is the reference
                values = blocks.reshape(-1).view(np.float16).astype(np.float32)
            else:
                values = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name]).astype(np.float32).reshape(-1)
            out.write(name.encode().ljust(8, b"\0") + struct.pack("<II", blocks.size, values.size))
            out.write(blocks.tobytes() + values.tobytes())


main(sys.argv[1])
