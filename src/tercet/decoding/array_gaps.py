"""What decoding needs and the array API standard lacks, for every library it may meet.

Nothing else belongs here.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, to_device

Array = Any  # an array of any library that follows the standard


def from_numpy(array: np.ndarray, like: Array) -> Array:
    """A NumPy array in the library and on the device of `like`."""
    if is_numpy_array(like):
        return array
    return array_namespace(like).asarray(array, device=device(like))


def to_numpy(array: Array) -> np.ndarray:
    """Any array as NumPy (copied from a GPU if it lies there)."""
    return np.asarray(array if is_numpy_array(array) else to_device(array, "cpu"))


def log_sum_exp(values: Array) -> Array:
    """log(sum(exp(values))) over the last axis; -inf where all of them are -inf."""
    xp = array_namespace(values)
    largest = xp.max(values, axis=-1, keepdims=True)
    anchor = xp.where(xp.isinf(largest), xp.zeros_like(largest), largest)
    total = xp.sum(xp.exp(values - anchor), axis=-1)
    is_empty = total == 0  # log(0) would warn
    logs = xp.log(xp.where(is_empty, xp.ones_like(total), total)) + anchor[..., 0]
    return xp.where(is_empty, xp.full_like(logs, -float("inf")), logs)


def log_probabilities(logits: Array, tokens: np.ndarray) -> Array:
    """Log softmax(logits)[token], for one token per row.

    `logits` [rows, vocab], `tokens` int64 [rows]; gives [rows] in the logits' type.
    """
    xp = array_namespace(logits)
    chosen = xp.take_along_axis(logits, from_numpy(tokens[:, None], logits), axis=-1)
    return chosen[:, 0] - log_sum_exp(logits)
