"""Rounding matrices to 8 bits: symmetric, one scale per output channel. Stored form and graphs share it."""

import numpy as np

from tercet.checkpoint.arrays import Int8Matrix

LARGEST = 127  # symmetric: -128 is never used, so that products of two int8 fit wherever they are summed


def quantize_rows(matrix: np.ndarray) -> Int8Matrix:
    """Round float [out, in] to int8 with one float32 scale per row: scale = max|row| / 127; an empty row gets 1."""
    floats = np.asarray(matrix, dtype=np.float32)
    largest = np.abs(floats).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    values = np.rint(floats / scales[:, None]).clip(-LARGEST, LARGEST).astype(np.int8)
    return Int8Matrix(values, scales)
