"""A file's bytes, read where they are asked for.

Not a memory map: mapped pages count as the process's own memory for as long as they are mapped, and a
file that is cut short while it is mapped kills the process.
"""

import os
import threading
import weakref
from pathlib import Path

import numpy as np

from tercet.checkpoint.dtypes import stored_dtype, widen_bfloat16
from tercet.errors import CheckpointError


class FileBytes:
    """An open file of fixed length; several threads may read. Closed when nobody holds it any more."""

    def __init__(self, path: Path) -> None:
        """Open a file for reading.

        Raises:
            CheckpointError: it is empty or cannot be read.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            # Unbuffered: arrays are read in one piece, straight into their own memory.
            self._file = path.open("rb", buffering=0)
            weakref.finalize(self, self._file.close)
            self._length = self._file.seek(0, 2)
        except (OSError, ValueError) as error:
            raise _unreadable(path, str(error)) from error
        if not self._length:
            raise _unreadable(path, "it is empty")

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        """Some bytes; like any slice it ends where the file ends."""
        start, stop, _ = part.indices(self._length)
        out = bytearray(max(0, stop - start))
        self.read_into(memoryview(out), start)
        return bytes(out)

    def read_into(self, out: memoryview, offset: int) -> None:
        """Fill `out` with the bytes from `offset` on.

        Raises:
            CheckpointError: the file ends before that, or the disk failed.
        """
        filled = 0
        try:
            while filled < len(out):
                count = self._read_some(out[filled:], offset + filled)
                if not count:
                    raise _unreadable(self.path, "it became shorter while it was read")
                filled += count
        except OSError as error:
            raise _unreadable(self.path, str(error)) from error

    def _read_some(self, out: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):  # no shared position, which forked processes would fight over
            return os.preadv(self._file.fileno(), [out], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(out) or 0


def decode(data: FileBytes, dtype: str, offset: int, count: int) -> np.ndarray:
    """`count` little-endian items from `offset` bytes on, as a flat array of its own memory.

    Bfloat16, which NumPy lacks, comes as float32.

    Args:
        data: What holds the items; the caller has checked that they all lie inside.
        dtype: A key of `dtypes.ITEM_BYTES`.
        offset: In bytes.
        count: In items.
    """
    flat = np.empty(count, stored_dtype(dtype))
    data.read_into(flat.view(np.uint8).data, offset)
    return widen_bfloat16(flat) if dtype == "bfloat16" else flat


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: cannot be read ({reason}); check permissions, or fetch the file again"
    )
