"""Writing Tercet's head file (see `checkpoint/head_file.py`), and the fingerprint of a codebook.

The same head gives the same bytes, on any machine. Codebooks are written in float32 whatever the rest is
stored in: a code is the number of a row, so that a rounded row would be another vocabulary. So are the
numbers of a draft's tokens.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tercet.checkpoint.head_naming import check_head, head_shapes
from tercet.checkpoint.head_settings import head_from_json, head_to_json
from tercet.checkpoint.heads import Head, Quantizer
from tercet.checkpoint.native import METADATA_KEY, SCALE
from tercet.convert.quantize import quantize
from tercet.convert.store import write_arrays
from tercet.errors import CheckpointError, OptionError

COMPUTE_TYPES = ("float32", "float16", "int8")
_FINGERPRINT_DIGITS = 16
_EXACT = re.compile(r"levels\.\d+\.codebook|token_ids")
# Codes are decided in `project_in`, and what is taken off the states has their outliers: both are small,
# and both stay in 16 bits.
# So is what a draft looks for candidates with.
_STAYS_FLOAT = re.compile(r"levels\.\d+\.project_in\.weight|state_mean|(narrow|widen)\.weight")


def write_head(path: Path | str, head: Head, *, compute_type: str = "float32") -> None:
    """Write a head as one safetensors file, under a temporary name that is then changed.

    What `checkpoint.head_file.open_head` makes of it is the same head: equal settings, and in float32 equal
    arrays. Matrices that are in 8 bits already keep their integers where `compute_type` is "int8".

    Args:
        path: The file, replaced if it is there.
        head: Any head, of whatever system's file.
        compute_type: "float32"; "float16" (half the size; numbers beyond its range stay float32); "int8"
            (matrices in 8 bits with a float16 scale per row and 64 columns, the rest in float16).
            Codebooks are float32 in all of them.

    Raises:
        OptionError: `compute_type` is another.
        CheckpointError: an array is missing, of another shape, or not finite; settings make no sense.
        OutputError: the file cannot be written; what was there is still there.
    """
    path = Path(path)
    if compute_type not in COMPUTE_TYPES:
        raise OptionError(
            f"compute_type is {compute_type!r}; a head has {', '.join(COMPUTE_TYPES)}"
        )
    check_head(head)
    told = json.dumps(head_to_json(head), sort_keys=True, ensure_ascii=False)
    head_from_json(json.loads(told), head.arrays)  # what cannot be opened again is not written
    write_arrays(path, dict(_stored_arrays(head, compute_type)), {METADATA_KEY: told})


def codebook_fingerprint(quantizer: Quantizer) -> str:
    """What tells codes of one codebook from those of another: 16 hexadecimal digits.

    The first 64 bits of SHA-256 over [depth, rows, columns] and all levels' rows as float32, little-endian.
    Two quantizers share it if and only if their codebooks are equal to the bit; projections and all else
    may differ, so equal fingerprints promise equal rows, not equal codes of the same sound. It survives
    `write_head` in every `compute_type`. A codebook that some other program rounded to 16 bits has
    another fingerprint, since its rows are others.
    """
    shape = [quantizer.depth, quantizer.codebook_size, quantizer.code_width]
    digest = hashlib.sha256(f"{shape}\n".encode())
    for level in range(quantizer.depth):
        rows = quantizer.arrays.read(f"levels.{level}.codebook")
        digest.update(np.ascontiguousarray(rows, dtype="<f4").data)
    return digest.hexdigest()[:_FINGERPRINT_DIGITS]


def _stored_arrays(head: Head, compute_type: str) -> Iterator[tuple[str, np.ndarray]]:
    """Every array in the type in which it is written, matrices in 8 bits with their scales."""
    for name in sorted(head_shapes(head)):
        if compute_type == "int8" and _is_matrix(name, head):
            matrix = head.arrays.read_int8(name)
            if matrix is None or matrix.values.min(initial=0) == -128:
                where = f"{head.arrays.path}: {name}"
                matrix = quantize(head.arrays.read(name), where)
            yield name, matrix.values
            yield name + SCALE, matrix.scales.astype(np.float16)
            continue
        values = head.arrays.read(name).astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise CheckpointError(f"{head.arrays.path}: {name} holds NaN or infinity")
        is_narrow = compute_type != "float32" and not _EXACT.fullmatch(name)
        yield name, _as_float16(values) if is_narrow else values


def _is_matrix(name: str, head: Head) -> bool:
    """Whether an array is kept in 8 bits."""
    is_flat = len(head.arrays.shape(name)) == 2
    return is_flat and not _EXACT.fullmatch(name) and not _STAYS_FLOAT.fullmatch(name)


def _as_float16(values: np.ndarray) -> np.ndarray:
    """The values in float16, or as they are where one of them is too large for it."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float16)
    return narrow if np.isfinite(narrow).all() else values
