"""Stored number types -> NumPy arrays.

Bfloat16, which NumPy lacks, becomes float32 without loss.
"""

import numpy as np

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


def stored_dtype(dtype: str) -> np.dtype:
    """NumPy's type for what lies in a file under a key of `ITEM_BYTES`; bfloat16 comes as bits."""
    return np.dtype("<u2" if dtype == "bfloat16" else dtype).newbyteorder("<")


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits (uint16) -> float32: bfloat16 is float32's upper half."""
    wide = bits.astype(np.uint32)
    wide <<= 16  # in place: the token embedding of a large model has 266 MB
    return wide.view(np.float32)


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
