"""Writing Tercet's stored layout (see `checkpoint/native.py`): fold, round, fingerprint, save.

The same input gives the same bytes, on any machine: powers of two for folding, one rounding rule,
sorted names, one metadata key. Settings and tokenizer are the recipe's concern.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint, Int8Matrix, MemoryCheckpoint
from tercet.checkpoint.native import CALIBRATION, FORMAT, METADATA_KEY, SCALE, SMOOTH
from tercet.convert.fingerprint import Storage, deviation, fingerprint
from tercet.convert.quantize import quantize
from tercet.convert.smooth import fold
from tercet.errors import OutputError


def stored_arrays(
    checkpoint: Checkpoint, statistics: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """The arrays of the stored form, by name.

    int8 matrices with scales, float16 for what that holds exactly, float32 for the rest.
    `statistics` are the calibration's largest inputs (see `smooth.probed_encoder`); None leaves the
    encoder unfolded.

    Raises:
        CheckpointError: the statistics are another model's, or a matrix is not finite.
    """
    source, extra = checkpoint, {}
    if statistics is not None:
        source, exponents = fold(checkpoint, statistics)
        extra = {f"{SMOOTH}{name}": values for name, values in exponents.items()}
        extra |= {f"{CALIBRATION}{n}": v.astype(np.float16) for n, v in statistics.items()}
    arrays: dict[str, np.ndarray] = {}
    for name in source.names():
        if is_matrix(name):
            rounded = quantize(source.read(name), name)
            arrays[name] = rounded.values
            arrays[name + SCALE] = rounded.scales.astype(np.float16)
        else:
            arrays[name] = _smallest_exact(source.read(name))
    return arrays | extra


def is_matrix(name: str) -> bool:
    """Whether an array is kept in 8 bits: block matrices and the token embedding."""
    if name == "model.decoder.embed_tokens.weight":
        return True
    return ".layers." in name and name.endswith(".weight") and "layer_norm" not in name


def metadata_of(
    checkpoint: Checkpoint, arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]
) -> dict[str, str]:
    """The file's metadata.

    The fingerprint of the original encoder, what rounding did to it, and the caller's `facts` (which
    must be JSON).
    """
    original = fingerprint(checkpoint)
    exponents = {k.removeprefix(SMOOTH): v for k, v in arrays.items() if k.startswith(SMOOTH)}
    copy = _StoredEncoder(checkpoint.geometry, dict(arrays))
    rounding = deviation(copy, original, Storage(exponents=exponents))
    value = {
        "format": FORMAT,
        "encoder": original.to_json(),
        "rounding": {name: float(f"{value:.4g}") for name, value in rounding.items()},
        **facts,
    }
    return {METADATA_KEY: json.dumps(value, sort_keys=True, ensure_ascii=False)}


class _StoredEncoder(MemoryCheckpoint):
    """Stored arrays that are still in memory."""

    def read_int8(self, name: str) -> Int8Matrix | None:
        scales = self.arrays.get(name + SCALE)
        return None if scales is None else Int8Matrix(self.arrays[name], scales.astype(np.float32))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a temporary name, then rename it.

    Raises:
        OutputError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    from safetensors.numpy import save

    temporary = path.with_name(f".{path.name}.part")
    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    try:
        temporary.write_bytes(save(contiguous, dict(metadata)))
        temporary.replace(path)
    except OSError as fault:
        raise OutputError(f"{path}: cannot be written ({fault}); choose another folder") from fault
    finally:
        temporary.unlink(missing_ok=True)


def _smallest_exact(array: np.ndarray) -> np.ndarray:
    """float16 if that keeps every value (folding by powers of two usually does), else float32."""
    with np.errstate(over="ignore"):  # what overflows is not kept exactly
        narrow = array.astype(np.float16)
    wide = array.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float32), wide) else wide
