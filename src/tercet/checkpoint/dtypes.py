"""Stored number types -> NumPy arrays.

Bfloat16, which NumPy lacks, becomes float32 without loss.
"""

import mmap
from pathlib import Path

import numpy as np

from tercet.errors import CheckpointError

ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


def decode(data: bytes | mmap.mmap, dtype: str, offset: int, count: int) -> np.ndarray:
    """`count` little-endian items from `offset` bytes on, as a flat array of its own memory.

    Args:
        data: What holds the items; the caller has checked that they all lie inside.
        dtype: A key of `ITEM_BYTES`.
        offset: In bytes.
        count: In items.
    """
    stored = np.dtype("<u2" if dtype == "bfloat16" else dtype).newbyteorder("<")
    # The copy stays valid (and writable) when the file goes away.
    flat = np.frombuffer(data, stored, count, offset).copy()
    return widen_bfloat16(flat) if dtype == "bfloat16" else flat


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits (uint16) -> float32: bfloat16 is float32's upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Floats -> bfloat16 bits (uint16), rounded to nearest, ties to even, as torch does.

    NaN stays NaN.
    """
    wide = np.ascontiguousarray(values, np.float32)
    bits = wide.view(np.uint32)
    odd = (bits >> 16) & 1
    rounded = ((bits.astype(np.uint64) + 0x7FFF + odd) >> 16).astype(np.uint16)
    return np.where(np.isnan(wide), np.uint16(0x7FC0), rounded)


def as_weights(values: np.ndarray) -> np.ndarray:
    """float16 stays; every other type becomes float32."""
    return values if values.dtype == np.float16 else values.astype(np.float32, copy=False)


def map_file(path: Path) -> mmap.mmap:
    """Map a file for reading.

    Raises:
        CheckpointError: it is empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); check permissions, or fetch the file again"
        ) from error
