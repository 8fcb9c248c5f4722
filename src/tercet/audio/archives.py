"""Recordings inside tar archives, written `shard.tar::name.flac`: found by an index, read where they lie.

Nothing is ever unpacked: names inside an archive are looked up, never written to. Compressed archives are
refused, since a recording in one can be reached only through all that is before it.
"""

import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from posixpath import normpath

from tercet.errors import AudioNotFoundError, AudioUnreadableError

MARK = ".tar::"
_BLOCK_BYTES = 512
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_INDICES_KEPT = 1024  # one per archive: rows that are sorted by speaker go to and fro between them


@dataclass(frozen=True, slots=True)
class Index:
    """What an archive holds, by name."""

    places: Mapping[str, tuple[int, int]]  # first byte and size of each file
    refused: Mapping[str, str]  # why a name cannot be read


def split_member(path: str | os.PathLike[str]) -> tuple[Path, str] | None:
    """`a/b.tar::c/d.flac` as archive and name; None for any other path."""
    before, mark, name = os.fspath(path).partition(MARK)
    return (Path(f"{before}.tar"), name) if mark and name else None


def is_recording(path: Path) -> bool:
    """Whether there is such a file, or such a name in its archive. A damaged archive is told when heard."""
    parts = split_member(path)
    if parts is None or path.is_file():
        return path.is_file()
    try:
        return parts[1] in index_of(parts[0]).places
    except AudioNotFoundError:
        return False
    except AudioUnreadableError:
        return True


def index_of(archive: Path) -> Index:
    """The files in an archive; remembered until it changes.

    Raises:
        AudioNotFoundError: there is no such archive.
        AudioUnreadableError: it cannot be read, is compressed, damaged or cut off.
    """
    try:
        told = archive.stat()
        return _index(archive, told.st_mtime_ns, told.st_size)
    except FileNotFoundError:
        raise AudioNotFoundError(f"{archive}: there is no such archive; check the path.") from None
    except (OSError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioUnreadableError(
            f"{archive}: cannot be read as a tar archive ({reason}); get a whole copy."
        ) from None


def open_member(archive: Path, name: str) -> io.BufferedReader:
    """A file of an archive, read where it lies; it can seek.

    Raises:
        OSError: the archive cannot be opened.
        AudioNotFoundError: it has no such file.
        AudioUnreadableError: the name is refused; as for `index_of`.
    """
    index = index_of(archive)
    if name in index.refused:
        raise AudioUnreadableError(f"{archive}::{name}: {index.refused[name]}.")
    if name not in index.places:
        raise AudioNotFoundError(
            f"{archive}::{name}: the archive has no such file; check the name."
        )
    return io.BufferedReader(_Section(archive, *index.places[name]))


@lru_cache(maxsize=_INDICES_KEPT)
def _index(archive: Path, mtime_ns: int, size: int) -> Index:
    """The index of an archive in this state."""
    with archive.open("rb") as file:
        head = file.read(8)
        kind = next((kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)), None)
        if kind is not None:
            raise AudioUnreadableError(
                f"{archive}: is compressed ({kind}), so that no recording in it can be reached by itself; "
                "uncompress it to a .tar."
            )
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            members = tar.getmembers()
        _check_end(archive, file, members)
    places: dict[str, tuple[int, int]] = {}
    refused: dict[str, str] = {}
    for member in members:
        name = normpath(member.name)
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            refused[name] = "is a link or a device, no file of its own"
        elif name in places:
            refused[name] = "is in the archive twice"
        else:
            places[name] = (member.offset_data, member.size)
    return Index({name: place for name, place in places.items() if name not in refused}, refused)


def _check_end(archive: Path, file: io.BufferedReader, members: list[tarfile.TarInfo]) -> None:
    """`tarfile` takes a damaged header for the end of the archive; a real end is empty blocks, or nothing.

    Raises:
        AudioUnreadableError: something else stands behind the last file.
    """
    if not members:
        return
    last = members[-1]
    size = last.size if last.isreg() else 0
    file.seek(last.offset_data + -(-size // _BLOCK_BYTES) * _BLOCK_BYTES)
    if any(file.read(_BLOCK_BYTES)):
        raise AudioUnreadableError(
            f"{archive}: is damaged or cut off behind {last.name}; get a whole copy."
        )


class _Section(io.RawIOBase):
    """A stretch of a file, as a file."""

    def __init__(self, path: Path, first: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._first = first
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"seek to {start + offset}")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._first + self._at)
        read: int = self._file.readinto(memoryview(buffer)[:count]) or 0
        self._at += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
