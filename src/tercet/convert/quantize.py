"""Rounding matrices to 8 bits: symmetric, one scale per row and block. Stored form and graphs share it."""

import numpy as np

from tercet.checkpoint.arrays import Int8Matrix
from tercet.errors import CheckpointError

LARGEST = 127  # symmetric: -128 is never used, so that sums of two products fit 16 bits
_LARGEST_WEIGHT = 1e6  # beyond, float16 holds no scale; Whisper's weights stay below 100
_ITEMS_AT_ONCE = 1 << 22
BLOCK = (
    64  # columns that share a scale; divides every Whisper width (measured in docs/EXPERIMENTS.md)
)


def quantize(
    matrix: np.ndarray, name: str = "a matrix", *, block: int | None = BLOCK
) -> Int8Matrix:
    """Round float [out, in] to int8, with one scale per row and block of columns: max|block| / 127.

    Scales are float32 that float16 holds exactly (rounded up to it, so that nothing is clipped): a stored
    copy is the same matrix. `block` None, or one that does not divide the width, makes one block of each row.
    A block of zeros gets the scale 1. The error is at most half a scale.

    Raises:
        CheckpointError: `name` holds NaN, infinity, or numbers beyond any model's.
    """
    out, width = matrix.shape
    rows = max(1, _ITEMS_AT_ONCE // max(1, width))
    if out > rows:  # copies of a large token embedding would be half a gigabyte
        parts = [quantize(matrix[at : at + rows], name, block=block) for at in range(0, out, rows)]
        values = np.concatenate([part.values for part in parts])
        return Int8Matrix(values, np.concatenate([part.scales for part in parts]))
    floats = np.asarray(matrix, dtype=np.float32)
    count = width // block if block is not None and width % block == 0 else 1
    blocks = floats.reshape(out, max(1, count), width // max(1, count))
    largest = np.abs(blocks).max(axis=2, initial=0.0)
    if not (largest <= _LARGEST_WEIGHT).all():
        raise CheckpointError(f"{name} holds NaN or infinity; these weights are damaged")
    exact = largest / np.float32(LARGEST)
    nearest = exact.astype(np.float16)
    above = np.nextafter(nearest, np.float16(np.inf))
    scales = np.where(nearest.astype(np.float32) < exact, above, nearest).astype(np.float32)
    scales[scales == 0] = 1.0
    values = np.rint(blocks / scales[..., None]).clip(-LARGEST, LARGEST).astype(np.int8)
    return Int8Matrix(values.reshape(out, width), scales)
