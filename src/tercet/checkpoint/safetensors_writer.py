"""Writing a safetensors file array by array: what is in memory is one array, never the file.

The bytes are those of the safetensors library: widest types first, then by name.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import numpy as np

from tercet.checkpoint.dtypes import ITEM_BYTES, narrow_to_bfloat16, stored_dtype

# NumPy's name -> the format's, in the library's order in the file.
_WRITTEN = {
    "float64": "F64",
    "float32": "F32",
    "bfloat16": "BF16",
    "float16": "F16",
    "int8": "I8",
}
_ALIGNMENT_BYTES = 8  # data starts at a multiple; the header is filled up with spaces
_ITEMS_AT_ONCE = 2**22  # are converted together: a copy of 16 MB, not of the array


@dataclass(frozen=True, slots=True)
class ArrayPlan:
    """The type ("bfloat16", too) and shape of an array that is to be written."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


class SafetensorsWriter:
    """Writes the header at once; then takes the arrays, in any order."""

    def __init__(
        self, file: BinaryIO, plans: Mapping[str, ArrayPlan], metadata: Mapping[str, str]
    ) -> None:
        """Start a file.

        Args:
            file: Open for writing, seekable, empty.
            plans: Every array that is going to be put.
            metadata: What `__metadata__` says; {} for none.
        """
        self._file = file
        self._plans = plans
        self._offsets: dict[str, int] = {}
        ranks = {dtype: rank for rank, dtype in enumerate(_WRITTEN)}
        header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
        at = 0
        for name in sorted(plans, key=lambda each: (ranks[plans[each].dtype], each)):
            plan, self._offsets[name] = plans[name], at
            span = [at, at + plan.nbytes]
            entry = {"dtype": _WRITTEN[plan.dtype], "shape": plan.shape, "data_offsets": span}
            header[name], at = entry, span[1]
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % _ALIGNMENT_BYTES)
        self._start = 8 + len(text)
        self._missing = set(plans)
        file.write(struct.pack("<Q", len(text)) + text)

    def put(self, name: str, array: np.ndarray) -> None:
        """Write one array, converted to its planned type.

        Raises:
            OSError: the disk is full, or failed.
        """
        plan = self._plans[name]
        assert array.shape == plan.shape, name
        self._file.seek(self._start + self._offsets[name])
        flat = array.reshape(-1)
        for start in range(0, flat.size, _ITEMS_AT_ONCE):
            stored = _stored_form(flat[start : start + _ITEMS_AT_ONCE], plan.dtype)
            self._file.write(np.ascontiguousarray(stored).view(np.uint8).data)
        self._missing.discard(name)

    def finish(self) -> None:
        """Make sure that no array was forgotten."""
        assert not self._missing, sorted(self._missing)[:3]
        self._file.flush()


def file_bytes(plans: Mapping[str, ArrayPlan]) -> int:
    """How large a file gets, its header aside."""
    return sum(plan.nbytes for plan in plans.values())


def _stored_form(values: np.ndarray, dtype: str) -> np.ndarray:
    narrow = narrow_to_bfloat16(values) if dtype == "bfloat16" else values
    return narrow.astype(stored_dtype(dtype), copy=False)
