"""CTranslate2's folder layout (faster-whisper's).

Model.bin, config.json, and as a rule tokenizer.json.

The binary form was read off CTranslate2's public converter: a version, the specification's name and
revision, then records (name, shape, type, bytes), then aliases (records that share their data with
another). Version 6 is the only one that Whisper models were ever written in.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Generation, Int8Matrix
from tercet.checkpoint.dtypes import ITEM_BYTES, as_weights
from tercet.checkpoint.file_bytes import FileBytes, decode
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import ctranslate2_slots
from tercet.checkpoint.settings import checked_geometry, head_pairs, read_json_object, token_ids
from tercet.checkpoint.sources import SlottedCheckpoint, check_shapes
from tercet.errors import CheckpointError

_VERSION = 6
_SPECIFICATION = "WhisperSpec"
_TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by type id
_MAX_RECORDS = 100_000
_HEAD_WIDTH = 64  # every Whisper that OpenAI trained; files of old revisions do not say
_LAYER = re.compile(r"^(encoder|decoder)/layer_(\d+)/ffn/linear_0/weight$")


@dataclass(frozen=True, slots=True)
class _Record:
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class ModelBin:
    """An open model.bin (an `ArraySource` and an `Int8Source`)."""

    path: Path
    data: FileBytes
    records: Mapping[str, _Record]

    def stored_names(self) -> frozenset[str]:
        """All names, aliases included."""
        return frozenset(self.records)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one array; () for single numbers."""
        return self.records[key].shape

    def read(self, key: str) -> np.ndarray:
        """One array.

        Float16 as stored, else float32; integers are multiplied out by their scales.
        """
        values = self._read_stored(key)
        scales = self._scales(key)
        if scales is None:
            return as_weights(values)
        by_row = scales.reshape(scales.shape + (1,) * (values.ndim - scales.ndim))
        weights: np.ndarray = np.multiply(values, by_row, dtype=np.float32)
        return weights

    def read_int8(self, key: str) -> Int8Matrix | None:
        """The stored 8-bit form of a matrix; None for other types and for convolutions."""
        record, scales = self.records[key], self._scales(key)
        if record.dtype != "int8" or len(record.shape) != 2 or scales is None or scales.ndim != 1:
            return None
        return Int8Matrix(self._read_stored(key), scales[:, None])

    def number(self, key: str) -> int | None:
        """A single stored integer."""
        record = self.records.get(key)
        if record is None or record.shape != () or not record.dtype.startswith("int"):
            return None
        return int(self._read_stored(key))

    def _read_stored(self, key: str) -> np.ndarray:
        record = self.records[key]
        flat = decode(self.data, record.dtype, record.offset, prod(record.shape))
        return flat.reshape(record.shape)

    def _scales(self, key: str) -> np.ndarray | None:
        """What integers are to be multiplied with: float32 [rows] (int8), [] (int16), or None."""
        if self.records[key].dtype not in ("int8", "int16"):
            return None
        scale_key = f"{key}_scale"
        rows = self.records[key].shape[:1]
        if scale_key not in self.records or self.records[scale_key].shape not in ((), rows):
            raise CheckpointError(f"{self.path}: {key} has integers without fitting scales")
        # The file stores integers per unit; we multiply.
        divisors = self._read_stored(scale_key).astype(np.float32)
        if not np.all(np.isfinite(divisors) & (divisors != 0)):
            raise CheckpointError(
                f"{self.path}: {scale_key} holds zeros or no numbers; fetch it again"
            )
        return np.divide(1, divisors, dtype=np.float32)


class _Cursor:
    """Reads the file's fields in order."""

    def __init__(self, path: Path, data: FileBytes) -> None:
        self.path, self.data, self.at = path, data, 0

    def number(self, form: str) -> int:
        """One little-endian number of a `struct` format."""
        size = struct.calcsize(form)
        if self.at + size > len(self.data):
            raise CheckpointError(f"{self.path}: cut short at byte {self.at}; fetch it again")
        (value,) = struct.unpack(f"<{form}", self.data[self.at : self.at + size])
        self.at += size
        return int(value)

    def text(self) -> str:
        """A string: its length with the final zero, then its bytes."""
        size = self.number("H")
        raw = self.data[self.at : self.at + size]
        self.at += size
        try:
            return raw[:-1].decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path}: damaged name near byte {self.at}") from error

    def record(self) -> _Record:
        """Shape, type and place of one array; its bytes are skipped."""
        shape = tuple(self.number("I") for _ in range(self.number("B")))
        type_id, size = self.number("B"), self.number("I")
        if type_id >= len(_TYPES):
            raise CheckpointError(f"{self.path}: unknown number type {type_id} at byte {self.at}")
        dtype, offset = _TYPES[type_id], self.at
        if (
            len(shape) > 8
            or prod(shape) * ITEM_BYTES[dtype] != size
            or offset + size > len(self.data)
        ):
            raise CheckpointError(
                f"{self.path}: damaged or cut short at byte {offset}; fetch it again"
            )
        self.at += size
        return _Record(dtype, shape, offset)


def open_ctranslate2(folder: Path) -> SlottedCheckpoint:
    """Open a folder that CTranslate2's converter wrote, in any of its number types.

    Raises:
        CheckpointError: files are missing or damaged, or it is another model than Whisper.
    """
    path = folder / "model.bin"
    source = open_model_bin(path)
    geometry = _read_geometry(source)
    slots = ctranslate2_slots(geometry)
    check_shapes(path, source, slots, geometry)
    tokenizer = folder / "tokenizer.json"
    return SlottedCheckpoint(
        path=folder,
        layout="ctranslate2",
        geometry=geometry,
        generation=_read_generation(folder / "config.json", geometry),
        tokenizer_file=tokenizer if tokenizer.is_file() else None,
        source=source,
        slots=slots,
        int8=source,
    )


def open_model_bin(path: Path) -> ModelBin:
    """Read the records' places.

    Raises:
        CheckpointError: the file is damaged, or of another model.
    """
    data = FileBytes(path)
    cursor = _Cursor(path, data)
    version = cursor.number("I")
    if version != _VERSION:
        raise CheckpointError(
            f"{path}: CTranslate2 binary version {version} instead of {_VERSION}; convert it again"
        )
    name = cursor.text()
    if name != _SPECIFICATION:
        raise CheckpointError(f"{path}: CTranslate2 model of kind {name[:60]!r}, not a Whisper")
    cursor.number("I")  # the specification's revision: what differs, `_heads` settles
    records = {}
    for _ in range(_bounded(path, cursor.number("I"))):
        key = cursor.text()
        records[key] = cursor.record()
    for _ in range(_bounded(path, cursor.number("I"))):
        alias, key = cursor.text(), cursor.text()
        if key not in records:
            raise CheckpointError(
                f"{path}: {alias[:120]!r} stands for {key[:120]!r}, which is not there"
            )
        records[alias] = records[key]
        if f"{key}_scale" in records:  # an alias of integers shares their scales
            records.setdefault(f"{alias}_scale", records[f"{key}_scale"])
    return ModelBin(path, data, records)


def _bounded(path: Path, count: int) -> int:
    if count > _MAX_RECORDS:
        raise CheckpointError(f"{path}: claims {count} records; damaged, fetch it again")
    return count


def _read_geometry(source: ModelBin) -> Geometry:
    layers = {"encoder": 0, "decoder": 0}
    for key in source.stored_names():
        if found := _LAYER.match(key):
            layers[found.group(1)] = max(layers[found.group(1)], int(found.group(2)) + 1)
    conv = _dims(source, "encoder/conv1/weight", 3)
    width = conv[0]
    sizes = {
        "n_mels": conv[1],
        "width": width,
        "encoder_layers": layers["encoder"],
        "encoder_heads": _heads(source, "encoder", width),
        "decoder_layers": layers["decoder"],
        "decoder_heads": _heads(source, "decoder", width),
        "vocab_size": _dims(source, "decoder/embeddings/weight", 2)[0],
        "n_audio_ctx": _dims(source, "encoder/position_encodings/encodings", 2)[0],
        "n_text_ctx": _dims(source, "decoder/position_encodings/encodings", 2)[0],
        "mlp_width": _dims(source, "encoder/layer_0/ffn/linear_0/weight", 2)[0],
    }
    return checked_geometry(source.path, sizes)


def _dims(source: ModelBin, key: str, rank: int) -> tuple[int, ...]:
    if key not in source.records or len(source.shape(key)) != rank:
        raise CheckpointError(f"{source.path}: {key} is missing or odd; not a Whisper, or damaged")
    return source.shape(key)


def _heads(source: ModelBin, side: str, width: int) -> int:
    stored = source.number(f"{side}/num_heads")
    return stored if stored is not None else max(1, width // _HEAD_WIDTH)


def _read_generation(path: Path, geometry: Geometry) -> Generation:
    if not path.is_file():
        return Generation()
    settings = read_json_object(path)
    return Generation(
        suppress_tokens=token_ids(settings, "suppress_ids", path),
        begin_suppress_tokens=token_ids(settings, "suppress_ids_begin", path),
        alignment_heads=head_pairs(settings, "alignment_heads", path, geometry),
    )
