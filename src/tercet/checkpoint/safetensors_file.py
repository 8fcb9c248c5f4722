"""Safetensors files and sets of shards, as array sources.

Which keys a Whisper has is not known here.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from tercet.checkpoint.dtypes import as_weights
from tercet.checkpoint.file_bytes import FileBytes, decode
from tercet.checkpoint.sources import ArraySource
from tercet.errors import CheckpointError

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    offset: int  # bytes from the start of the file


@dataclass(frozen=True, slots=True)
class SafetensorsFile:
    """One file, its arrays read when asked for."""

    path: Path
    data: FileBytes
    entries: Mapping[str, _Entry]
    metadata: Mapping[str, str]

    def stored_names(self) -> frozenset[str]:
        """All names."""
        return frozenset(self.entries)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one array."""
        return self.entries[key].shape

    def dtype(self, key: str) -> str:
        """The stored type, as NumPy would call it ("bfloat16", too)."""
        return self.entries[key].dtype

    def read(self, key: str) -> np.ndarray:
        """One array: float16 as stored, every other type as float32."""
        return as_weights(self.read_stored(key))

    def read_stored(self, key: str) -> np.ndarray:
        """One array in its stored type (bfloat16 as float32)."""
        entry = self.entries[key]
        flat = decode(self.data, entry.dtype, entry.offset, prod(entry.shape))
        return flat.reshape(entry.shape)


@dataclass(frozen=True, slots=True)
class Shards:
    """Several sources that together hold one checkpoint."""

    holder: Mapping[str, ArraySource]

    def stored_names(self) -> frozenset[str]:
        """All names."""
        return frozenset(self.holder)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one array."""
        return self.holder[key].shape(key)

    def read(self, key: str) -> np.ndarray:
        """One array."""
        return self.holder[key].read(key)


def open_safetensors(path: Path) -> SafetensorsFile:
    """Open one file; the safetensors library checks that its header is sound.

    Raises:
        CheckpointError: it is damaged, or holds a type that Whisper checkpoints do not have.
    """
    data = FileBytes(path)
    try:
        with safe_open(str(path), framework="numpy"):
            pass
        (header_bytes,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + header_bytes])
    except (SafetensorError, OSError, ValueError, struct.error, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: damaged or cut short ({reason}); fetch it again") from error
    metadata = header.pop("__metadata__", {})
    entries = {}
    for name, entry in header.items():
        if entry["dtype"] not in DTYPES:
            raise CheckpointError(
                f"{path}: array {name[:120]!r} has type {entry['dtype']}, which no Whisper "
                "checkpoint has; export it as float16 or float32"
            )
        offset = 8 + header_bytes + entry["data_offsets"][0]
        entries[name] = _Entry(DTYPES[entry["dtype"]], tuple(entry["shape"]), offset)
    return SafetensorsFile(path, data, entries, metadata)
