"""What a caller may name as audio, brought to two forms: bytes to decode, or samples. No decoding here."""

import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, cast

from tercet.audio.archives import open_member, split_member
from tercet.audio.arrays import Samples, from_array
from tercet.audio.pushed import Pushed, pushed
from tercet.errors import (
    AudioError,
    AudioNotFoundError,
    AudioUnreadableError,
    EmptyAudioError,
    SampleRateError,
    UndecodableAudioError,
)

# A path, "-", bytes, a binary file object, an array, an iterator of arrays, or a data set's dictionary: told
# apart at run time.
AudioSource: TypeAlias = object

HEAD_BYTES = 64  # read ahead, to tell an empty input and to explain a bad header


class ByteReader(Protocol):
    """The least that a file object needs."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """Encoded bytes, ready to be decoded from their start."""

    file: ByteReader
    head: bytes  # its first bytes; the file itself stands before them
    is_seekable: bool
    is_owned: bool  # ours to close

    def close(self) -> None:
        """Close the file, if we opened it."""
        if self.is_owned:
            cast(BinaryIO, self.file).close()


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded recording: its name for messages, and how to open it."""

    name: str
    open: Callable[[], Opened]


class _ReadAhead:
    """A stream that cannot seek, with the bytes already taken from it put back in front."""

    def __init__(self, head: bytes, rest: ByteReader) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            taken, self._head = self._head, b""
            return taken + self._rest.read()
        taken, self._head = self._head[:size], self._head[size:]
        return taken


def recognise(source: AudioSource, sampling_rate: int | None) -> Encoded | Samples | Pushed:
    """Tell what `source` is. See `tercet.audio.load.load` for the forms.

    Raises:
        AudioError: it is none of them, or `sampling_rate` contradicts it.
    """
    if callable(getattr(source, "get_all_samples", None)):
        # Hugging Face's newer data sets give a lazy decoder, which answers as their dictionary did.
        decoder = cast(Mapping[str, object], source)
        source = {key: decoder[key] for key in ("array", "sampling_rate")}
    if isinstance(source, Mapping):
        return _from_mapping(source, sampling_rate)
    encoded = _encoded(source)
    if encoded is None and isinstance(source, Iterator):
        return pushed(source, sampling_rate)
    if encoded is None:
        return from_array(source, sampling_rate, name="<array>")
    if sampling_rate is not None:
        raise SampleRateError(
            f"{encoded.name}: sampling_rate is for arrays; a file states its own. Leave it out."
        )
    return encoded


def _encoded(source: AudioSource) -> Encoded | None:
    if isinstance(source, str) and source == "-":
        return Encoded("<stdin>", _open_stdin)
    if isinstance(source, str | PathLike):
        path = Path(cast(str, source))
        return Encoded(str(source), lambda: _open_path(path, str(source)))
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return Encoded("<bytes>", lambda: _opened(io.BytesIO(content), "<bytes>", is_owned=True))
    if callable(getattr(source, "read", None)):
        reader = cast(ByteReader, source)
        own_name = getattr(source, "name", None)
        name = own_name if isinstance(own_name, str) else "<file>"
        return Encoded(name, lambda: _opened(reader, name, is_owned=False))
    return None


def _from_mapping(
    source: Mapping[str, object], sampling_rate: int | None
) -> Encoded | Samples | Pushed:
    """A data set's dictionary: {"array" or "raw", "sampling_rate"}, or {"bytes", "path"}."""
    for key in ("array", "raw"):
        if source.get(key) is not None:
            return _from_array_mapping(source[key], source, sampling_rate)
    content, path = source.get("bytes"), source.get("path")
    if content is None and path is None:
        keys = ", ".join(sorted(map(str, source))) or "none"
        raise UndecodableAudioError(
            f"<dict>: has the keys {keys}; give 'array' and 'sampling_rate', or 'bytes', or 'path'."
        )
    found = recognise(path if content is None else content, sampling_rate)
    if isinstance(found, Encoded) and content is not None and isinstance(path, str):
        return Encoded(path, found.open)
    return found


def _from_array_mapping(
    array: object, source: Mapping[str, object], sampling_rate: int | None
) -> Samples:
    path = source.get("path")
    name = path if isinstance(path, str) else "<array>"
    stated = source.get("sampling_rate")
    if stated is None and sampling_rate is None:
        raise SampleRateError(f"{name}: has no 'sampling_rate'; add it to the dictionary.")
    if stated is not None and sampling_rate not in (None, stated):
        raise SampleRateError(
            f"{name}: says {stated} Hz, but sampling_rate is {sampling_rate}; give one of them."
        )
    return from_array(array, stated if stated is not None else sampling_rate, name=name)


def _open_stdin() -> Opened:
    stdin = sys.stdin
    if stdin is None or stdin.closed:
        raise AudioUnreadableError("<stdin>: is closed; pipe audio into it, or name a file.")
    if stdin.isatty():
        raise AudioUnreadableError("<stdin>: is a terminal; pipe audio into it, or name a file.")
    return _opened(stdin.buffer, "<stdin>", is_owned=False)


def _open_path(path: Path, name: str) -> Opened:
    file: io.BufferedReader
    try:
        file = path.open("rb") if (found := _member(path)) is None else open_member(*found)
    except AudioError:
        raise
    except FileNotFoundError:
        raise AudioNotFoundError(f"{name}: there is no such file; check the path.") from None
    except IsADirectoryError:
        raise AudioUnreadableError(f"{name}: is a folder; name the files in it.") from None
    except PermissionError:
        raise AudioUnreadableError(f"{name}: may not be read; check its permissions.") from None
    except (OSError, ValueError) as error:
        raise AudioUnreadableError(f"{name}: cannot be opened ({_reason(error)}).") from None
    try:
        return _opened(file, name, is_owned=True)
    except AudioError:
        file.close()
        raise


def _member(path: Path) -> tuple[Path, str] | None:
    """An archive and a name in it; None for a file, whatever its name."""
    found = split_member(path)
    return None if found is None or path.is_file() else found


def _opened(file: ByteReader, name: str, *, is_owned: bool) -> Opened:
    """Bring a file object to its beginning and look at its first bytes."""
    if isinstance(file, io.TextIOBase):
        raise AudioUnreadableError(f"{name}: is opened as text; open it with mode 'rb'.")
    try:
        is_seekable = bool(getattr(file, "seekable", lambda: False)())
        if is_seekable:
            cast(BinaryIO, file).seek(0)
        head = _read_head(file)
        if not head:
            raise EmptyAudioError(f"{name}: is empty (0 bytes); give a file with sound in it.")
        if is_seekable:
            cast(BinaryIO, file).seek(0)
            return Opened(file, head, is_seekable=True, is_owned=is_owned)
        ahead = _ReadAhead(head, file)
        if head[4:8] != b"ftyp":
            return Opened(ahead, head, is_seekable=False, is_owned=False)
        # The index of an MP4 file often lies at its end: only a file on disk can go there and back.
        spooled = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Opened.close
        shutil.copyfileobj(ahead, spooled)
        spooled.seek(0)
        return Opened(cast(ByteReader, spooled), head, is_seekable=False, is_owned=True)
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioUnreadableError(f"{name}: cannot be read ({_reason(error)}).") from None


def _read_head(file: ByteReader) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES:
        more = file.read(HEAD_BYTES - len(head))
        if not isinstance(more, bytes | bytearray):
            raise ValueError("its read() does not return bytes")
        if not more:
            break
        head += more
    return head


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
