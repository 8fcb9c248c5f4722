"""A LoRA adapter in PEFT's layout, merged into a checkpoint's arrays as they are read.

`adapter_model.safetensors` (or `.bin`) holds two matrices per adapted module: A [rank, in] and B [out, rank];
of a convolution A [rank, in, taps] and B [out, rank, 1]. The merged weight is W + scale * B A, in float32.
Modules that were trained whole (PEFT's `modules_to_save`) lie there under their own names and replace the
model's. Nothing is merged before it is read, and no file is changed, so that whatever takes a checkpoint
(conversion, 8 bits, every engine, the fingerprint) sees the merged model. Of a model that is stored in 8 bits
the changed matrices are read as floats; whoever wants them in 8 bits rounds them anew.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tercet.checkpoint.adapter_settings import AdapterSettings, read_adapter_settings
from tercet.checkpoint.arrays import Checkpoint, Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.native import NativeCheckpoint
from tercet.checkpoint.safetensors_file import SafetensorsFile, open_safetensors
from tercet.checkpoint.smoothing import column_factors, row_divisors
from tercet.checkpoint.sources import ArraySource
from tercet.checkpoint.torch_file import open_torch_file
from tercet.errors import CheckpointError, ModelNotFoundError

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_WRAPPER = "base_model.model."  # PEFT's own names before the model's
_A, _B = ".lora_A.weight", ".lora_B.weight"
_EMBEDDING = "model.decoder.embed_tokens"
_OUTPUT = "proj_out"
_ENCODER = "model.encoder."
_DIGITS = 16  # of SHA-256, in hexadecimal: 64 bits


TRUE_LENGTH = (
    "true_length"  # in the metadata of weights: the model with it hears windows as they are
)


class _Sum(NamedTuple):
    """What is added to one matrix."""

    a: str  # the key of A
    b: str
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An open adapter; which model it belongs to is seen when it is merged."""

    path: Path  # the file of its weights
    settings: AdapterSettings
    source: ArraySource
    true_length: bool = False  # the model with it hears windows as long as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedCheckpoint:
    """A checkpoint (`arrays.Checkpoint`) with an adapter merged into what is read of it."""

    original: Checkpoint
    adapter: Adapter
    sums: Mapping[str, _Sum]  # array -> what is added to it
    replaced: Mapping[str, str]  # array -> the key of what stands in its place

    @property
    def path(self) -> Path:
        """The file or folder of the model without the adapter."""
        return self.original.path

    @property
    def layout(self) -> str:
        """That of the model without the adapter."""
        return self.original.layout

    @property
    def geometry(self) -> Geometry:
        """An adapter changes none."""
        return self.original.geometry

    @property
    def generation(self) -> Generation:
        """What the checkpoint says about decoding; the adapter may add that windows need no padding."""
        told = self.original.generation
        return replace(told, true_length=told.true_length or self.adapter.true_length)

    @property
    def tokenizer_file(self) -> Path | None:
        """A Hugging Face tokenizer.json, if one lies beside the model's weights."""
        return self.original.tokenizer_file

    @property
    def changes_encoder(self) -> bool:
        """Whether heads that were trained on the model's encoder see another one now."""
        return any(name.startswith(_ENCODER) for name in (*self.sums, *self.replaced))

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return self.original.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, without reading it."""
        return self.original.shape(name)

    def read(self, name: str) -> np.ndarray:
        """One array: what the adapter changes in float32, the rest as the model's file has it.

        Raises:
            CheckpointError: the array is damaged, or what is added to it is not finite.
        """
        if name in self.replaced:
            return self.adapter.source.read(self.replaced[name])
        weight = self.original.read(name)
        if name not in self.sums:
            return weight
        a, b, scale = self.sums[name]
        first = self.adapter.source.read(a).astype(np.float32)
        second = self.adapter.source.read(b).astype(np.float32)
        rank = len(first)
        added = second.reshape(-1, rank) @ first.reshape(rank, -1)
        if not np.isfinite(added).all():
            raise CheckpointError(f"{self.adapter.path}: {a} or {b} is not finite; fetch it again")
        added = np.float32(scale) * self._as_stored(name, added.reshape(weight.shape))
        merged: np.ndarray = weight.astype(np.float32) + added
        return merged

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit form of a matrix, where there is one: never of one that the adapter changes."""
        is_changed = name in self.sums or name in self.replaced
        return None if is_changed else self.original.read_int8(name)

    def _as_stored(self, name: str, added: np.ndarray) -> np.ndarray:
        """What is added, with the factors that are folded into the stored matrix."""
        if not isinstance(self.original, NativeCheckpoint):
            return added
        exponents = self.original.smoothing
        columns, rows = column_factors(name, exponents), row_divisors(name, exponents)
        if columns is not None:
            added = added * columns
        return added if rows is None else added / rows[:, None]


def open_adapter(path: Path) -> Adapter:
    """Open an adapter; its arrays are read later.

    Args:
        path: A PEFT folder, or the file of weights in one (`adapter_config.json` must lie beside it).

    Raises:
        ModelNotFoundError: nothing is there.
        UnsafePickleError: a pickle that wants to call the operating system.
        CheckpointError: damaged, incomplete, or something else than a plain LoRA.
    """
    if not path.exists():
        raise ModelNotFoundError(f"{path}: no such file or folder; give a PEFT adapter's folder")
    folder = path if path.is_dir() else path.parent
    try:
        settings = read_adapter_settings(folder)
        file = path if path.is_file() and path != settings.path else _weights_in(folder)
        source = _open_weights(file)
        metadata = source.metadata if isinstance(source, SafetensorsFile) else {}
        true_length = metadata.get(TRUE_LENGTH) == "true"
        return Adapter(path=file, settings=settings, source=source, true_length=true_length)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check its permissions") from error


def adapter_digest(path: Path) -> str:
    """A short name for an adapter's content, settings and weights: 16 hexadecimal digits.

    Raises:
        TercetError: as `open_adapter`.
    """
    adapter = open_adapter(path)
    content = hashlib.sha256(adapter.settings.path.read_bytes())
    content.update(adapter.path.read_bytes())
    return content.hexdigest()[:_DIGITS]


def with_adapter(checkpoint: Checkpoint, adapter: Adapter) -> AdaptedCheckpoint:
    """The checkpoint with the adapter merged into it.

    Raises:
        CheckpointError: the adapter has no LoRA weights, was made for another model (a module or a shape that
            this one lacks), or the checkpoint's matrices are kept in 8 bits.
    """
    keys = frozenset(adapter.source.stored_names())
    sums, replaced = dict[str, _Sum](), dict[str, str]()
    for key in sorted(keys):
        if key.endswith(_A):
            module = _module_of(key.removesuffix(_A), key, checkpoint, adapter)
            other = key.removesuffix(_A) + _B
            if other not in keys:
                raise CheckpointError(f"{adapter.path}: {key} has no {other}; fetch it again")
            sums[f"{module}.weight"] = _Sum(key, other, adapter.settings.scale_of(module))
        elif not key.endswith(_B):
            module = _module_of(key.rpartition(".")[0], key, checkpoint, adapter)
            replaced[f"{module}.{key.rpartition('.')[2]}"] = key
        elif key.removesuffix(_B) + _A not in keys:
            raise CheckpointError(f"{adapter.path}: {key} has no lora_A; fetch it again")
    if not sums:
        raise CheckpointError(
            f"{adapter.path}: no LoRA weights (lora_A, lora_B) in it; give a PEFT adapter"
        )
    merged = AdaptedCheckpoint(original=checkpoint, adapter=adapter, sums=sums, replaced=replaced)
    _check_shapes(merged)
    _check_whole(checkpoint, sums, replaced)
    return merged


def _weights_in(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder / WEIGHTS[0]}: missing; fetch the adapter again")


def _open_weights(file: Path) -> ArraySource:
    if file.suffix == ".safetensors":
        return open_safetensors(file)
    opened = open_torch_file(file)
    return opened.tensors(opened.value)


def _module_of(stem: str, key: str, checkpoint: Checkpoint, adapter: Adapter) -> str:
    """The model's name for an adapted module.

    Adapters of the bare encoder and decoder (transformers' WhisperModel) lack the "model." before it.
    """
    module = stem.removeprefix(_WRAPPER)
    leaf = "weight" if key.endswith(_A) else key.rpartition(".")[2]
    if module in (_OUTPUT, _EMBEDDING, _EMBEDDING.removeprefix("model.")):
        raise CheckpointError(
            f"{adapter.path}: {key[:120]} adapts the token embedding or the output layer, which are one in "
            "Whisper; give an adapter of other modules"
        )
    names = frozenset(checkpoint.names())
    for each in (module, f"model.{module}"):
        if f"{each}.{leaf}" in names:
            return each
    geometry = checkpoint.geometry
    raise CheckpointError(
        f"{adapter.path}: {key[:120]} is for a module that {checkpoint.path} lacks (a Whisper of "
        f"{geometry.encoder_layers} and {geometry.decoder_layers} layers); give the model it was made for"
    )


def _check_shapes(merged: AdaptedCheckpoint) -> None:
    """Every adapted array is of the model's shape, and of the rank that the settings say."""
    settings = merged.adapter.settings
    for name, (a, b, _) in merged.sums.items():
        wanted = merged.shape(name)
        rank = settings.rank_of(name.removesuffix(".weight"))
        taps = (1,) * (len(wanted) - 2)
        _check_shape(merged, a, (rank, *wanted[1:]))
        _check_shape(merged, b, (wanted[0], rank, *taps))
    for name, key in merged.replaced.items():
        _check_shape(merged, key, merged.shape(name))


def _check_shape(merged: AdaptedCheckpoint, key: str, wanted: tuple[int, ...]) -> None:
    found = merged.adapter.source.shape(key)
    if found != wanted:
        raise CheckpointError(
            f"{merged.adapter.path}: {key[:120]} has shape {list(found)}, and {merged.path} needs "
            f"{list(wanted)}; give the model it was made for, or its own {merged.adapter.settings.path.name}"
        )


def _check_whole(
    checkpoint: Checkpoint, sums: Mapping[str, object], replaced: Mapping[str, object]
) -> None:
    """No matrix is in 8 bits of a kind that cannot be added to, or be replaced."""
    is_own = isinstance(checkpoint, NativeCheckpoint)
    for name in (*sums, *replaced):
        if (name in replaced or not is_own) and checkpoint.read_int8(name) is not None:
            raise CheckpointError(
                f"{checkpoint.path}: its weights are in 8 bits, and this adapter needs the full ones; give "
                "the model as a hub id (openai/whisper-base: from the hub's cache, else the hub), or a "
                "folder or file of it in float16 or float32"
            )
