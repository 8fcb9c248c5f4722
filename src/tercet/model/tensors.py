"""Arrays as torch tensors, for callers who expect tensors. Computes nothing."""

from importlib.util import find_spec
from typing import Any

import numpy as np


def as_tensor_if_possible(array: np.ndarray) -> Any:
    """The same numbers as a torch tensor on the CPU, or `array` itself where torch is not installed.

    Shape and number format stay: float32 gives a FloatTensor, int64 a LongTensor. The tensor may share
    memory with `array`.
    """
    if find_spec("torch") is None:
        return array
    import torch

    return torch.from_numpy(array if array.flags.writeable else array.copy())
