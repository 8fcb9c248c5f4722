"""Writing encoder outputs into a folder that `encoded` reads: shard after shard, resumable.

Arrays go to the disk as they come: what is in memory is one window, never a shard.
"""

import json
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

import numpy as np

from tercet.dataset.encoded import (
    ABOUT,
    KINDS,
    About,
    check_about,
    index_of,
    parsed_line,
    read_about,
    shard_paths,
)
from tercet.errors import DataError, OutputError

if sys.platform != "win32":
    import fcntl

_HEADER_BYTES_PER_ARRAY = 112  # '"000000.states":{"dtype":"F16","shape":[..],"data_offsets":[..]},'
_PART = ".part"


class EncodedWriter:
    """Adds windows to a folder; keys that are there are skipped. One writer at a time.

    As a context manager it finishes the shard under way at the end, after an error too: what was added
    is kept. A killed writer loses that shard and nothing else.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        about: About,
        kinds: Sequence[str] = KINDS,
        windows_per_shard: int = 256,
    ) -> None:
        """Open a folder, making it and those above it.

        Raises:
            DataError: unknown kinds, or the folder is damaged.
            FingerprintError: it holds another encoder's outputs.
            OutputError: it cannot be written.
        """
        if not kinds or not set(kinds) <= set(KINDS):
            raise DataError(f"kinds {list(kinds)!r}: give some of {', '.join(KINDS)}")
        self._folder = Path(folder)
        self._kinds = tuple(kinds)
        self._windows = windows_per_shard
        self._shard: _OpenShard | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / ".lock").open("a")
            if not _held(self._lock):
                raise DataError(f"{self._folder}: another process is adding windows; wait for it")
            self._settle(about)
            self._keys = self._known_keys()
        except OSError as error:
            raise self._fault(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.finish()
        finally:
            self._lock.close()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(
        self,
        key: str,
        facts: Mapping[str, Any],
        *,
        taps: np.ndarray | None = None,
        states: np.ndarray | None = None,
    ) -> bool:
        """Add one window; returns False where its key is there already.

        Args:
            key: Names it, once in the folder.
            facts: What JSON can hold: labels, text ids, number of samples.
            taps: Float [layers, frames, width].
            states: Float [positions, width].

        Raises:
            DataError: not the kinds of arrays that the folder holds, or values beyond float16.
            OutputError: the disk is full; the shard under way is lost, those before are not.
        """
        if key in self._keys:
            return False
        given = {"taps": taps, "states": states}
        arrays = {kind: array for kind, array in given.items() if array is not None}
        if set(arrays) != set(self._kinds):
            raise DataError(f"{key}: give {' and '.join(self._kinds)}, as the folder holds")
        narrow = {kind: _narrow(array, key, kind) for kind, array in arrays.items()}
        line = json.dumps({"key": key, "facts": dict(facts)}, separators=(",", ":"))
        try:
            if self._shard is None:
                self._shard = _OpenShard(self._folder, self._windows * len(self._kinds))
            self._shard.add(line, narrow)
            self._keys.add(key)
            if len(self._shard.lines) >= self._windows:
                self._finish()
        except OSError as error:
            self._give_up()
            raise self._fault(error) from None
        return True

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._finish()
        except OSError as error:
            self._give_up()
            raise self._fault(error) from None

    def _finish(self) -> None:
        if self._shard is not None:
            self._shard.publish()
            self._shard = None

    def _give_up(self) -> None:
        if self._shard is not None:
            self._shard.discard()
            self._shard = None
            self._keys = self._known_keys()

    def _settle(self, about: About) -> None:
        """Write what the folder is, or compare; remove what a killed writer left."""
        path = self._folder / ABOUT
        if path.exists():
            found, kinds = read_about(self._folder)
            check_about(self._folder, found, about)
            if set(kinds) != set(self._kinds):
                raise DataError(
                    f"{self._folder}: holds {' and '.join(kinds)}; choose another folder for "
                    f"{' and '.join(self._kinds)}"
                )
        else:
            text = json.dumps(about.to_json(self._kinds), indent=1)
            part = path.with_suffix(_PART)
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        for left in self._folder.glob(f".encoded-*{_PART}"):
            left.unlink(missing_ok=True)

    def _known_keys(self) -> set[str]:
        lines = (
            line
            for shard in shard_paths(self._folder)
            for line in index_of(shard).read_bytes().splitlines()
        )
        return {str(parsed_line(line, self._folder)["key"]) for line in lines}

    def _fault(self, error: OSError) -> OutputError:
        reason = (error.strerror or str(error)).lower()
        return OutputError(
            f"{self._folder}: cannot be written ({reason}); what was finished before is kept: make room, and "
            "give the same command again"
        )


class _OpenShard:
    """One pair of files under way. The header's room is kept free at the start, and filled in last."""

    def __init__(self, folder: Path, arrays: int) -> None:
        self.lines: list[str] = []
        self._folder = folder
        self._part = folder / f".encoded-{os.getpid()}{_PART}"
        self._room = arrays * _HEADER_BYTES_PER_ARRAY + 64
        self._room += -self._room % 8
        self._entries: dict[str, Any] = {}
        self._at = 0
        self._file: BinaryIO = self._part.open("xb")
        self._file.seek(8 + self._room)

    def add(self, line: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Append one window."""
        for kind, array in arrays.items():
            span = [self._at, self._at + array.nbytes]
            name = f"{len(self.lines):06d}.{kind}"
            self._entries[name] = {"dtype": "F16", "shape": array.shape, "data_offsets": span}
            self._file.write(array.view(np.uint8).data)
            self._at = span[1]
        self.lines.append(line)

    def publish(self) -> None:
        """Complete both files and give them their names: the arrays first, then the lines."""
        header = json.dumps(self._entries, separators=(",", ":")).encode().ljust(self._room)
        assert len(header) == self._room, "the header's room was counted too small"
        self._file.seek(0)
        self._file.write(struct.pack("<Q", len(header)) + header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        taken = [int(path.stem.partition("-")[2]) for path in shard_paths(self._folder)]
        final = self._folder / f"encoded-{max(taken, default=-1) + 1:05d}.safetensors"
        lines = self._part.with_name(f"{self._part.stem}-lines{_PART}")
        lines.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")
        self._part.replace(final)
        lines.replace(index_of(final))

    def discard(self) -> None:
        """Remove what there is."""
        with suppress(OSError):
            self._file.close()
        for left in (self._part, self._part.with_name(f"{self._part.stem}-lines{_PART}")):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def _held(file: IO[str]) -> bool:
    """Hold the folder until the file is closed; False where another does."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a network folder without locks
    return True


def _narrow(array: np.ndarray, key: str, kind: str) -> np.ndarray:
    if not np.isfinite(array).all():
        raise DataError(f"{key}: its {kind} hold NaN or infinity; leave it out")
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(array, "<f2")
    if not np.isfinite(narrow).all():
        raise DataError(f"{key}: its {kind} reach {np.abs(array).max():g}, beyond float16's 65504")
    return narrow
