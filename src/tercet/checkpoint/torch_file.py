"""Files that `torch.save` wrote, read without torch.

The zip form (torch >= 1.6) and the older stream form.

Gives the pickled value with tensors described but not loaded, and loads one tensor when asked.
Which keys a Whisper has is not known here.
"""

import mmap
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tercet.checkpoint.dtypes import ITEM_BYTES, as_weights
from tercet.checkpoint.file_bytes import FileBytes, decode
from tercet.checkpoint.pickle_values import TensorRef
from tercet.checkpoint.pickles import MAX_PICKLE_BYTES, PickleStream, read_pickle
from tercet.errors import CheckpointError

_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER_BYTES = 30
_AGAIN = "fetch the file again"


@dataclass(slots=True)
class TorchFile:
    """An open file: `value` is what was saved, its tensors as `TensorRef`."""

    path: Path
    value: object
    data: FileBytes
    blocks: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # storage key -> (offset, bytes)

    def tensors(self, state: object) -> "TorchTensors":
        """The tensors of a state dict inside `value`; other entries are passed over."""
        found: dict[str, TensorRef] = {}
        if isinstance(state, dict):
            found = {
                key: value
                for key, value in state.items()
                if isinstance(key, str) and isinstance(value, TensorRef)
            }
        return TorchTensors(self, found)


@dataclass(frozen=True, slots=True)
class TorchTensors:
    """Named tensors of one file (an `ArraySource`)."""

    file: TorchFile
    refs: dict[str, TensorRef]

    def stored_names(self) -> frozenset[str]:
        """All names."""
        return frozenset(self.refs)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one tensor."""
        return self.refs[key].shape

    def read(self, key: str) -> np.ndarray:
        """One tensor: float16 as stored, else float32.

        Raises:
            CheckpointError: its type is unknown, or its bytes are not all there.
        """
        ref = self.refs[key]
        start, item_bytes = self._start(key, ref)
        count = prod(ref.shape)
        if count == 0:
            return np.zeros(ref.shape, np.float32)
        span = 1 + sum((n - 1) * stride for n, stride in zip(ref.shape, ref.strides, strict=True))
        _, block_bytes = self.file.blocks[ref.storage.key]
        # A view that repeats items (stride 0) could describe terabytes in a small file.
        if (ref.offset_items + span) * item_bytes > block_bytes or count > span:
            raise CheckpointError(
                f"{self.file.path}: tensor {key!r} reaches outside its storage; {_AGAIN}"
            )
        flat = decode(self.file.data, ref.dtype, start, span)
        steps = tuple(stride * flat.itemsize for stride in ref.strides)
        view = np.lib.stride_tricks.as_strided(flat, ref.shape, steps, writeable=False)
        return as_weights(np.ascontiguousarray(view))

    def _start(self, key: str, ref: TensorRef) -> tuple[int, int]:
        """(offset in the file, bytes per item)."""
        if ref.dtype not in ITEM_BYTES:
            raise CheckpointError(
                f"{self.file.path}: tensor {key!r} has type {ref.dtype}, which Whisper checkpoints "
                "do not have; export it as float16 or float32"
            )
        if ref.storage.key not in self.file.blocks or len(ref.shape) != len(ref.strides):
            raise CheckpointError(f"{self.file.path}: tensor {key!r} has no data; {_AGAIN}")
        item_bytes = ITEM_BYTES[ref.dtype]
        return self.file.blocks[ref.storage.key][0] + ref.offset_items * item_bytes, item_bytes


def open_torch_file(path: Path) -> TorchFile:
    """Open a file that `torch.save` wrote.

    Raises:
        UnsafePickleError: it wants to call the operating system.
        CheckpointError: it is damaged, or of another kind.
    """
    data = FileBytes(path)
    if data[:4] == _ZIP_MAGIC:
        return _open_zip(path, data)
    if data[:1] == b"\x80":
        return _open_stream(path, data)
    if data[257:262] == b"ustar":
        raise CheckpointError(
            f"{path}: torch's tar form of 2017, older than Whisper; load and save it with any torch"
        )
    raise CheckpointError(f"{path}: not a file that torch.save wrote; {_AGAIN}")


def _open_zip(path: Path, data: FileBytes) -> TorchFile:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename: one for one in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, LookupError) as error:
        raise CheckpointError(f"{path}: damaged or cut short ({error}); {_AGAIN}") from error
    except (struct.error, zlib.error, EOFError, OverflowError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged zip ({error}); {_AGAIN}") from error
    roots = [name for name in members if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(roots) != 1:
        raise CheckpointError(f"{path}: a zip, but not one that torch.save wrote")
    root = roots[0].removesuffix("data.pkl")
    blocks = {}
    for name, member in members.items():
        if name.startswith(f"{root}data/"):
            blocks[name.removeprefix(f"{root}data/")] = _locate(path, data, member)
    order = members.get(f"{root}byteorder")
    if order is not None:
        start, size = _locate(path, data, order)
        if data[start : start + size] not in (b"little", b""):
            raise CheckpointError(f"{path}: saved on a big-endian machine; save it on another")
    start, size = _locate(path, data, members[roots[0]])
    if size > MAX_PICKLE_BYTES:
        raise CheckpointError(f"{path}: a pickle of {size} bytes is no checkpoint's")
    value = read_pickle(PickleStream(memoryview(data[start : start + size])), str(path))
    return TorchFile(path, value, data, blocks)


def _locate(path: Path, data: FileBytes, member: zipfile.ZipInfo) -> tuple[int, int]:
    """(offset, bytes) of a member's data, which torch never compresses."""
    at = member.header_offset
    header = data[at : at + _LOCAL_HEADER_BYTES]
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise CheckpointError(
            f"{path}: {member.filename!r} is compressed, which torch.save never does; save it again"
        )
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != _ZIP_MAGIC:
        raise CheckpointError(f"{path}: damaged zip entry {member.filename!r}; {_AGAIN}")
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    start = at + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    if start + member.file_size > len(data):
        raise CheckpointError(f"{path}: cut short within {member.filename!r}; {_AGAIN}")
    return start, member.file_size


def _open_stream(path: Path, data: FileBytes) -> TorchFile:
    """Five pickles in a row (magic, protocol, machine, value, storage keys), then the storages."""
    label = str(path)
    with path.open("rb") as file, _mapped(file) as pages, memoryview(pages) as view:
        stream = PickleStream(view)
        if read_pickle(stream, label) != _STREAM_MAGIC:
            raise CheckpointError(f"{path}: a pickle, but not one that torch.save wrote")
        protocol = read_pickle(stream, label)
        if protocol != _STREAM_PROTOCOL:
            raise CheckpointError(f"{path}: torch's stream form {protocol!s:.20} is not known")
        machine = read_pickle(stream, label)
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise CheckpointError(f"{path}: saved on a big-endian machine; save it on another")
        value = read_pickle(stream, label)
        keys = read_pickle(stream, label)
        at = stream.tell()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError(f"{path}: damaged list of storages; {_AGAIN}")
    return TorchFile(path, value, data, _stream_blocks(path, data, at, keys, value))


def _mapped(file: BinaryIO) -> mmap.mmap:
    """A map for the pickles, whose length nobody tells; only the pages that they lie in are read."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _stream_blocks(
    path: Path, data: FileBytes, at: int, keys: list[str], value: object
) -> dict[str, tuple[int, int]]:
    """Where each storage lies.

    An item count (int64), then the items, whose size only the tensors tell.
    """
    item_bytes = _storage_item_bytes(value)
    blocks = {}
    for key in keys:
        if at + 8 > len(data):
            raise CheckpointError(f"{path}: cut short before storage {key[:40]!r}; {_AGAIN}")
        (count,) = struct.unpack("<q", data[at : at + 8])
        at += 8
        if key not in item_bytes:
            raise CheckpointError(
                f"{path}: storage {key[:40]!r} belongs to no tensor of a state dict"
            )
        size = count * item_bytes[key]
        if size < 0 or at + size > len(data):
            raise CheckpointError(f"{path}: cut short within storage {key[:40]!r}; {_AGAIN}")
        blocks[key] = (at, size)
        at += size
    return blocks


def _storage_item_bytes(value: object) -> dict[str, int]:
    """Bytes per item of every storage that a tensor somewhere in `value` refers to."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting: list[object] = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, TensorRef):
            found[one.storage.key] = ITEM_BYTES.get(one.storage.dtype, 1)
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
    return found
