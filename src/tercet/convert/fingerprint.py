"""Telling encoders apart: a hash for exact copies, a sketch for 8-bit ones.

The sketch of a matrix is its product with a fixed vector of signs, for some of its rows. Rounding to
8 bits moves each such product by a known, tiny, random amount (scale / sqrt(12) x sqrt(columns) in the
mean), so what is measured is not "how far" but "how far in units of what rounding explains": about 1
for any honest 8-bit copy, far above it as soon as the weights moved by more than their own rounding
error, as they do in a fine-tune or a merged adapter. What to do about a stranger is the caller's
concern.
"""

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tercet.checkpoint.adapter import AdaptedCheckpoint
from tercet.checkpoint.arrays import Arrays, Checkpoint, Int8Matrix
from tercet.checkpoint.native import NativeCheckpoint
from tercet.checkpoint.smoothing import column_factors, row_divisors
from tercet.errors import CheckpointError

ROWS = 128  # rows sketched per matrix; 36 matrices of base make 9 KB
_LIMIT_OVERALL = 1.1  # mean square deviation in units of rounding (spread over base's rows: 0.02)
_LIMIT_MATRIX = 1.6  # the same for one matrix of 128 rows (spread 0.13)
_FLOAT16_STEP = 2.0**-10  # between neighbouring numbers, relative to the smaller at most
_FLOAT16_LEAST_STEP = 2.0**-24
_BFLOAT16_STEP = 2.0**-7


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies an encoder: SHA-256 of its original arrays, and a sketch of each matrix."""

    digest: str
    sketch: Mapping[str, np.ndarray]  # matrix name -> float32 [<= ROWS]

    def to_json(self) -> dict[str, object]:
        """A form for file metadata: the sketch as one base64 string of float16."""
        names = sorted(self.sketch)
        packed = np.concatenate([self.sketch[n] for n in names]).astype("<f2").tobytes()
        return {
            "sha256": self.digest,
            "matrices": {n: len(self.sketch[n]) for n in names},
            "sketch": base64.b64encode(packed).decode("ascii"),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, object], path: Path) -> "Fingerprint":
        """The inverse of `to_json`; `path` is the file that errors name.

        Raises:
            CheckpointError: the stored form is damaged.
        """
        try:
            digest, matrices = stored["sha256"], stored["matrices"]
            if not (isinstance(digest, str) and isinstance(matrices, dict)):
                raise ValueError("'sha256' is no text or 'matrices' no object")
            counts = list(matrices.values())
            if not all(type(count) is int and 1 <= count <= ROWS for count in counts):
                raise ValueError(f"'matrices' has row counts outside 1..{ROWS}")
            raw = base64.b64decode(str(stored["sketch"]), validate=True)
            if len(raw) != 2 * sum(counts) or not counts:
                raise ValueError("'sketch' has another length than 'matrices' says")
        except (KeyError, TypeError, ValueError) as fault:
            reason = f"{fault} is missing" if isinstance(fault, KeyError) else str(fault)
            raise CheckpointError(
                f"{path}: damaged fingerprint ({reason}); install or copy the file again"
            ) from fault
        packed = np.frombuffer(raw, dtype="<f2").astype(np.float32)
        parts = np.split(packed, np.cumsum(counts)[:-1])
        return cls(digest, dict(zip(matrices, parts, strict=True)))


def fingerprint(checkpoint: Arrays) -> Fingerprint:
    """Fingerprint an encoder from its original arrays (before any folding or rounding).

    The position table is left out: it is a formula, which files keep in different precisions.
    """
    digest = hashlib.sha256()
    sketch = {}
    for name in encoder_arrays(checkpoint):
        array = np.ascontiguousarray(checkpoint.read(name), dtype="<f4")
        digest.update(f"{name} {list(array.shape)}\n".encode())
        digest.update(array.data)
        if is_sketched(name):
            sketch[name] = _project(array, name)
    return Fingerprint(digest.hexdigest(), sketch)


def encoder_digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of the original encoder's arrays; a stored copy tells it, from others it is computed."""
    if isinstance(checkpoint, AdaptedCheckpoint) and not checkpoint.changes_encoder:
        return encoder_digest(checkpoint.original)
    if isinstance(checkpoint, NativeCheckpoint):
        told = checkpoint.metadata.get("encoder")
        if isinstance(told, dict) and "sha256" in told:
            return str(told["sha256"])
    return fingerprint(checkpoint).digest


def decoder_digest(checkpoint: Checkpoint) -> str:
    """16 hex digits of the decoder's norms: a fine-tuned decoder has others, an 8-bit copy the same."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.names()):
        if name.startswith("model.decoder.") and "layer_norm" in name:
            values = np.asarray(checkpoint.read(name), np.float16)
            digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()[:16]


def are_alike(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two encoders hold the same numbers, to the rounding of float16.

    So a copy in floats of 8-bit weights is that of its original, although their digests differ: one is told,
    the other computed from what rounding left.
    """
    if encoder_digest(one) == encoder_digest(other):
        return True
    names = encoder_arrays(one)
    if names != encoder_arrays(other) or any(one.shape(n) != other.shape(n) for n in names):
        return False
    return all(
        np.array_equal(one.read(name).astype(np.float16), other.read(name).astype(np.float16))
        for name in names
    )


def encoder_arrays(checkpoint: Arrays) -> list[str]:
    """The names that the hash covers, sorted."""
    return [
        name
        for name in checkpoint.names()
        if name.startswith("model.encoder.") and "embed_positions" not in name
    ]


def is_sketched(name: str) -> bool:
    """Block matrices are; convolutions, norms and biases are not (they stay in 16 bits)."""
    return ".layers." in name and name.endswith("weight") and "layer_norm" not in name


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How a stored copy differs from the original by intent: what was folded, and what rounding did to it."""

    # Of `smooth.fold`.
    exponents: Mapping[str, np.ndarray] = field(default_factory=dict)
    # The copy's own `deviation` by matrix, as its writer measured it.
    rounding: Mapping[str, float] = field(default_factory=dict)


def deviation(
    checkpoint: Arrays, original: Fingerprint, storage: Storage | None = None
) -> dict[str, float]:
    """Mean square deviation of each matrix from the sketch, in units of what rounding explains.

    Plain rounding gives 1. Folded matrices have columns that lie below the rounding step and err by
    less; their unit is what the writer measured (`Storage.rounding`). A matrix that is not there, or
    has another number of rows, deviates infinitely.
    """
    storage = storage or Storage()
    names = frozenset(checkpoint.names())
    found = {}
    for name, expected in original.sketch.items():
        if name not in names or len(_rows(checkpoint.shape(name)[0])) != len(expected):
            found[name] = float("inf")
            continue
        value = _mean_square(checkpoint, name, expected, storage.exponents)
        found[name] = value / storage.rounding.get(name, 1.0)
    return found


def matches(checkpoint: Arrays, original: Fingerprint, storage: Storage | None = None) -> bool:
    """Whether the checkpoint's encoder is the original.

    Up to rounding to 8 bits per row, float16 or bfloat16.
    """
    if sorted(original.sketch) != [n for n in encoder_arrays(checkpoint) if is_sketched(n)]:
        return False
    values = list(deviation(checkpoint, original, storage).values())
    return bool(np.mean(values) <= _LIMIT_OVERALL and max(values) <= _LIMIT_MATRIX)


def _mean_square(
    checkpoint: Arrays, name: str, expected: np.ndarray, exponents: Mapping[str, np.ndarray]
) -> float:
    stored = checkpoint.read_int8(name)
    picked = _rows(checkpoint.shape(name)[0])
    if stored is None:
        floats = checkpoint.read(name)[picked].astype(np.float32)
        steps = _float_steps(floats)
    else:
        some = Int8Matrix(stored.values[picked], stored.scales[picked])
        floats, steps = some.to_float(), some.steps()
    columns = column_factors(name, exponents)
    rows = row_divisors(name, exponents)
    unfold = (
        np.ones_like(floats) if rows is None else np.repeat(rows[picked, None], floats.shape[1], 1)
    )
    if columns is not None:
        unfold = unfold / columns
    variance = ((steps * unfold).astype(np.float64) ** 2).sum(axis=1) / 12
    # The sketch itself is kept in float16: its own rounding is part of what must be explained.
    variance += (np.abs(expected.astype(np.float64)) * 2.0**-11) ** 2 / 3
    difference = _products(floats * unfold, name) - expected
    return float(np.mean(difference.astype(np.float64) ** 2 / np.maximum(variance, 1e-30)))


def _float_steps(values: np.ndarray) -> np.ndarray:
    """How far apart numbers of this size lie in the type that they were kept in, float32 of any shape.

    bfloat16 is read as float32, and told by its empty lower half. What is float32 by right is judged as
    float16, for it may have been that.
    """
    sizes = np.abs(values)
    if not (np.ascontiguousarray(values, np.float32).view(np.uint32) & 0xFFFF).any():
        steps: np.ndarray = sizes * np.float32(_BFLOAT16_STEP)
    else:
        steps = np.maximum(sizes * np.float32(_FLOAT16_STEP), np.float32(_FLOAT16_LEAST_STEP))
    return steps


def _project(matrix: np.ndarray, name: str) -> np.ndarray:
    """Some rows of the matrix times a vector of signs that depends on the matrix's name alone."""
    return _products(matrix[_rows(matrix.shape[0])], name)


def _products(rows: np.ndarray, name: str) -> np.ndarray:
    products: np.ndarray = rows.astype(np.float64) @ _signs(name, rows.shape[1])
    return products.astype(np.float32)


def _rows(count: int) -> np.ndarray:
    """Evenly spread row numbers, at most `ROWS`."""
    return np.unique(np.linspace(0, count - 1, min(ROWS, count)).round().astype(np.int64))


def _signs(name: str, width: int) -> np.ndarray:
    """+1 and -1 from raw PCG64 bits, which NumPy promises never to change."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(width)
    return np.where(np.asarray(raw) >> np.uint64(63), 1.0, -1.0)
