"""What decoding needs and the array API standard lacks, for every library it may meet. Nothing else belongs here."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, to_device

Array = Any


def from_numpy(array: np.ndarray, like: Array) -> Array:
    """A NumPy array in the library and on the device of `like`."""
    if is_numpy_array(like):
        return array
    return array_namespace(like).asarray(array, device=device(like))


def to_numpy(array: Array) -> np.ndarray:
    """Any array as NumPy (copied from a GPU if it lies there)."""
    return np.asarray(array if is_numpy_array(array) else to_device(array, "cpu"))


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the last axis, in the logits' own precision."""
    xp = array_namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def log_sum_exp(values: Array) -> Array:
    """log(sum(exp(values))) over the last axis; -inf where all are -inf."""
    xp = array_namespace(values)
    largest = xp.max(values, axis=-1, keepdims=True)
    anchor = xp.where(xp.isinf(largest), xp.zeros_like(largest), largest)
    total = xp.sum(xp.exp(values - anchor), axis=-1)
    floor = xp.asarray(1e-45, dtype=total.dtype)  # log(0) would warn
    logs = xp.log(xp.maximum(total, floor)) + anchor[..., 0]
    return xp.where(total > 0, logs, xp.full_like(logs, -float("inf")))
