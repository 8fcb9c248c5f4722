"""Writing Tercet's stored layout (see `checkpoint/native.py`): fold, round, fingerprint, save.

The same input gives the same bytes, on any machine: powers of two for folding, one rounding rule,
sorted names, one metadata key. Arrays are made one by one, so that a model of any size can be
written. Settings and tokenizer are the caller's concern.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tercet.checkpoint.arrays import Checkpoint, Int8Matrix
from tercet.checkpoint.native import (
    CALIBRATION,
    FORMAT,
    METADATA_KEY,
    SCALE,
    SMOOTH,
    NativeCheckpoint,
)
from tercet.checkpoint.safetensors_writer import ArrayPlan, SafetensorsWriter
from tercet.convert.fingerprint import Storage, deviation, encoder_arrays, fingerprint
from tercet.convert.folding import FoldedLayers
from tercet.convert.quantize import BLOCK, quantize
from tercet.errors import OutputError

EMBEDDING = "model.decoder.embed_tokens.weight"
OnProgress = Callable[[int, int], None]  # (numbers done, numbers in all)


class StoredForm:
    """A checkpoint in the form in which it is stored; every array is made when it is asked for."""

    def __init__(
        self, checkpoint: Checkpoint, statistics: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Look at every array once, to choose its type.

        Args:
            checkpoint: The original, or one in 8 bits, whose matrices are kept as they are.
            statistics: The calibration's largest inputs (see `smooth.probed_encoder`); None leaves
                the encoder unfolded.

        Raises:
            CheckpointError: the statistics are another model's.
        """
        self._original = checkpoint
        self._source: Checkpoint | FoldedLayers = checkpoint
        self._extra: dict[str, np.ndarray] = {}
        self._exponents: dict[str, np.ndarray] = {}
        if isinstance(checkpoint, NativeCheckpoint):
            self._exponents = checkpoint.smoothing
            self._add_extra(checkpoint.calibration)
        elif statistics is not None:
            self._source = FoldedLayers(checkpoint, statistics)
            self._exponents = self._source.exponents
            self._add_extra({name: v.astype(np.float16) for name, v in statistics.items()})
        self.plans = self._plan()

    def _add_extra(self, statistics: Mapping[str, np.ndarray]) -> None:
        self._extra = {f"{SMOOTH}{name}": values for name, values in self._exponents.items()}
        self._extra |= {f"{CALIBRATION}{name}": values for name, values in statistics.items()}

    @property
    def numbers(self) -> int:
        """How many numbers the model has; writing counts its progress in them."""
        return sum(prod(self.shape(name)) for name in self.names())

    @property
    def columns_per_scale(self) -> int:
        """How many columns of the token embedding share a scale."""
        return self.shape(EMBEDDING)[1] // self.plans[EMBEDDING + SCALE].shape[1]

    def names(self) -> tuple[str, ...]:
        """The original's arrays, sorted."""
        return self._original.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one of them."""
        return self._original.shape(name)

    def read(self, name: str) -> np.ndarray:
        """One of them, as floats."""
        return self._source.read(name)

    def read_int8(self, name: str) -> Int8Matrix | None:
        """One of them in 8 bits; None where it is kept as floats."""
        if not is_matrix(name):
            return None
        stored = self._source.read_int8(name)
        if stored is not None and stored.values.min(initial=0) > -128:
            return Int8Matrix(stored.values, stored.scales.astype(np.float16).astype(np.float32))
        return quantize(self._source.read(name), name)

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every stored array by name, made one after the other.

        Raises:
            CheckpointError: a matrix is not finite.
        """
        for name in self.names():
            matrix = self.read_int8(name)
            if matrix is None:
                yield name, self.read(name)
            else:
                yield name, matrix.values
                yield name + SCALE, matrix.scales
        yield from self._extra.items()

    def metadata(self, facts: Mapping[str, object]) -> dict[str, str]:
        """The file's metadata.

        The fingerprint of the original encoder, what rounding did to it, and the caller's `facts` (which
        must be JSON). A copy of a stored model says what the model says.
        """
        if isinstance(self._original, NativeCheckpoint):
            value: dict[str, Any] = dict(self._original.metadata)
        else:
            original = fingerprint(self._original)
            storage = Storage(exponents=self._exponents)
            rounding = {} if self._keeps_integers() else deviation(self, original, storage)
            value = {
                "format": FORMAT,
                "encoder": original.to_json(),
                "rounding": {name: float(f"{one:.4g}") for name, one in rounding.items()},
                **facts,
            }
        return {METADATA_KEY: json.dumps(value, sort_keys=True, ensure_ascii=False)}

    def _keeps_integers(self) -> bool:
        """Whether the original is in 8 bits already, so that nothing is rounded here."""
        first = next(name for name in encoder_arrays(self._original) if is_matrix(name))
        return self._source.read_int8(first) is not None

    def _plan(self) -> dict[str, ArrayPlan]:
        plans = {}
        for name in self.names():
            shape = self.shape(name)
            if not is_matrix(name):
                plans[name] = ArrayPlan(_smallest_exact(self.read(name)), shape)
                continue
            plans[name] = ArrayPlan("int8", shape)
            plans[name + SCALE] = ArrayPlan("float16", (shape[0], self._blocks(name)))
        for name, values in self._extra.items():
            plans[name] = ArrayPlan(str(values.dtype), values.shape)
        return plans

    def _blocks(self, name: str) -> int:
        """How many scales a row of a matrix has; one row tells."""
        matrix = self._source.read_int8(name)
        if matrix is None:
            matrix = quantize(np.zeros((1, self.shape(name)[1])), name)
        return len(matrix.scales[0])


def is_matrix(name: str) -> bool:
    """Whether an array is kept in 8 bits: block matrices and the token embedding."""
    if name == EMBEDDING:
        return True
    return ".layers." in name and name.endswith(".weight") and "layer_norm" not in name


def quantization_config(columns: int | None = BLOCK) -> dict[str, object]:
    """What `config.json` says about the matrices, in the words of compressed-tensors.

    `columns` share a scale; None is for one scale per row.
    """
    group = (
        {"strategy": "channel"} if columns is None else {"strategy": "group", "group_size": columns}
    )
    weights = {"num_bits": 8, "type": "int", "symmetric": True, **group}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["proj_out"],
        "config_groups": {"group_0": {"targets": ["Linear", "Embedding"], "weights": weights}},
    }


def stored_arrays(
    checkpoint: Checkpoint, statistics: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """All arrays of the stored form at once, in their stored types (see `StoredForm`)."""
    form = StoredForm(checkpoint, statistics)
    return {name: array.astype(form.plans[name].dtype) for name, array in form.arrays()}


def write_stored(
    path: Path,
    form: StoredForm,
    facts: Mapping[str, object],
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> None:
    """Write the stored form as a safetensors file, array by array, then give it its name.

    Raises:
        CheckpointError: a matrix is not finite.
        OutputError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    metadata = form.metadata(facts)
    total, done = form.numbers, 0

    def counted() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal done
        for name, array in form.arrays():
            yield name, array
            done += array.size if name in known else 0
            on_progress(done, total)

    known = frozenset(form.names())
    _write(path, form.plans, counted(), metadata)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a temporary name, then rename it.

    Raises:
        OutputError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    plans = {name: ArrayPlan(str(array.dtype), array.shape) for name, array in arrays.items()}
    _write(path, plans, iter(arrays.items()), metadata)


def _write(
    path: Path,
    plans: Mapping[str, ArrayPlan],
    arrays: Iterator[tuple[str, np.ndarray]],
    metadata: Mapping[str, str],
) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            writer = SafetensorsWriter(file, plans, metadata)
            for name, array in arrays:
                writer.put(name, array)
            writer.finish()
        temporary.replace(path)
    except OSError as fault:  # its own text names the temporary file, which nobody knows
        reason = fault.strerror or str(fault)
        raise OutputError(f"{path}: cannot be written ({reason}); choose another folder") from fault
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _smallest_exact(array: np.ndarray) -> str:
    """float16 if that keeps every value (folding by powers of two usually does), else float32."""
    with np.errstate(over="ignore"):  # what overflows is not kept exactly
        narrow = array.astype(np.float16)
    return (
        "float16"
        if np.array_equal(narrow.astype(np.float32), array.astype(np.float32))
        else "float32"
    )
