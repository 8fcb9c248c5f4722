"""Texts that wait for their turn: in memory while they are few, beyond that in an unnamed file.

Results of a run come as they are finished and leave in the order of the arguments; behind one long
recording thousands may wait.
"""

import tempfile
from contextlib import suppress
from typing import BinaryIO, cast

_IN_MEMORY_BYTES = 8 << 20
# A text may quote a file name that is no valid Unicode.
_ENCODING, _ERRORS = "utf-8", "surrogatepass"


class Aside:
    """Texts by number, each taken once."""

    def __init__(self, in_memory_bytes: int = _IN_MEMORY_BYTES) -> None:
        self._room_bytes = in_memory_bytes
        self._texts: dict[int, bytes] = {}
        self._places: dict[int, tuple[int, int]] = {}  # offset and size in the file
        self._file: BinaryIO | None = None

    def __contains__(self, index: int) -> bool:
        return index in self._texts or index in self._places

    def put(self, index: int, text: str) -> None:
        """Keep a text."""
        encoded = text.encode(_ENCODING, _ERRORS)
        if len(encoded) > self._room_bytes:
            with suppress(OSError):  # no room on the disk either: memory it is
                self._places[index] = self._write(encoded)
                return
        self._texts[index] = encoded
        self._room_bytes -= len(encoded)

    def take(self, index: int) -> str:
        """Give a text back and forget it."""
        if index in self._texts:
            encoded = self._texts.pop(index)
            self._room_bytes += len(encoded)
        else:
            offset, size = self._places.pop(index)
            file = cast(BinaryIO, self._file)
            file.seek(offset)
            encoded = file.read(size)
        return encoded.decode(_ENCODING, _ERRORS)

    def waiting(self) -> list[int]:
        """The numbers of all texts, in order."""
        return sorted([*self._texts, *self._places])

    def _write(self, encoded: bytes) -> tuple[int, int]:
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed below
        if not self._places:
            self._file.seek(0)
            self._file.truncate()
        offset = self._file.seek(0, 2)
        self._file.write(encoded)
        self._file.flush()
        return offset, len(encoded)

    def close(self) -> None:
        """Give the file's space back."""
        if self._file is not None:
            self._file.close()
