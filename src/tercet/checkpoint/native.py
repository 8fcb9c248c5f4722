"""Tercet's stored layout.

One safetensors file with 8-bit matrices, beside Hugging Face's JSON files.

Named as compressed-tensors names its "int-quantized" format: `X.weight` int8 [out, in] with
`X.weight_scale` float16 [out, blocks]; everything else in float16 or float32 under Hugging Face's names.
`config.json` carries `tercet_format`; the safetensors metadata carries one key, `tercet`, whose
value is JSON: the encoder's fingerprint, licence, source, and settings. `smooth.*` int8 are the
exponents that were folded into the encoder, `calibration.*` the statistics they came from. Reading
only; `convert/store.py` writes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tercet.checkpoint.arrays import Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.hugging_face import read_generation, read_geometry
from tercet.checkpoint.naming import Slot, expected_shapes
from tercet.checkpoint.safetensors_file import SafetensorsFile, open_safetensors
from tercet.checkpoint.settings import read_json_object
from tercet.checkpoint.sources import check_leftovers, check_shapes
from tercet.errors import CheckpointError

FORMAT = 1
WEIGHTS = "model.safetensors"
METADATA_KEY = "tercet"
SCALE = "_scale"
SMOOTH = "smooth."
CALIBRATION = "calibration."


@dataclass(frozen=True, kw_only=True)
class NativeCheckpoint:
    """An open folder in Tercet's layout (`arrays.Checkpoint`); made by `open_native`."""

    path: Path
    geometry: Geometry
    generation: Generation
    tokenizer_file: Path | None
    metadata: Mapping[str, Any]  # fingerprint ("encoder"), "rounding", name, licence, source
    source: SafetensorsFile
    layout: str = "native"

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(sorted(expected_shapes(self.geometry)))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, from the header."""
        return self.source.shape(self._known(name))

    def read(self, name: str) -> np.ndarray:
        """One array: float16 where it is stored so, else float32 (8-bit matrices, too)."""
        stored = self.read_int8(name)
        return self.source.read(self._known(name)) if stored is None else stored.to_float()

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit matrix, None for arrays kept as floats."""
        if name + SCALE not in self.source.entries:
            return None
        scales = self.source.read_stored(name + SCALE).astype(np.float32)
        return Int8Matrix(self.source.read_stored(self._known(name)), scales)

    @cached_property
    def smoothing(self) -> dict[str, np.ndarray]:
        """Exponents folded into the encoder, int8 [width] per group (see `convert/smooth.py`)."""
        return self._group(SMOOTH)

    @cached_property
    def calibration(self) -> dict[str, np.ndarray]:
        """Largest absolute input per channel and matrix, float16, as measured by the recipe."""
        return self._group(CALIBRATION)

    def _group(self, prefix: str) -> dict[str, np.ndarray]:
        keys = sorted(key for key in self.source.entries if key.startswith(prefix))
        return {key.removeprefix(prefix): self.source.read_stored(key) for key in keys}

    def _known(self, name: str) -> str:
        if name not in self.source.entries:
            raise CheckpointError(f"{self.path}: a Whisper checkpoint has no array {name!r}")
        return name


def open_native(folder: Path) -> NativeCheckpoint:
    """Open a folder whose `config.json` carries `tercet_format`; arrays are read later.

    Raises:
        CheckpointError: a file is missing or damaged, the arrays are not those of the geometry, or
            a newer release wrote it.
    """
    config_file, weights = folder / "config.json", folder / WEIGHTS
    config = read_json_object(config_file)
    _check_format(config_file, config.get("tercet_format"))
    geometry = read_geometry(config, config_file)
    if not weights.is_file():
        raise CheckpointError(f"{folder}: {WEIGHTS} is missing; install or copy the model again")
    source = open_safetensors(weights)
    metadata = _metadata_of(source)
    _check_arrays(source, geometry)
    tokenizer = folder / "tokenizer.json"
    return NativeCheckpoint(
        path=folder,
        geometry=geometry,
        generation=read_generation(folder, config, geometry),
        tokenizer_file=tokenizer if tokenizer.is_file() else None,
        metadata=metadata,
        source=source,
    )


def _metadata_of(source: SafetensorsFile) -> Mapping[str, Any]:
    text = source.metadata.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"{source.path}: its metadata has no {METADATA_KEY!r}; Tercet did not write this file"
        )
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise CheckpointError(
            f"{source.path}: its metadata {METADATA_KEY!r} is not JSON; install or copy it again"
        ) from fault
    _check_format(source.path, metadata.get("format") if isinstance(metadata, dict) else None)
    return dict(metadata)


def _check_format(path: Path, found: object) -> None:
    if type(found) is not int or found < 1:
        raise CheckpointError(f"{path}: format {found!r:.60} is none of Tercet's; copy it again")
    if found > FORMAT:
        raise CheckpointError(
            f"{path}: written in format {found}, this release reads up to {FORMAT}; upgrade tercet"
        )


def _check_arrays(source: SafetensorsFile, geometry: Geometry) -> None:
    """Arrays, shapes and number formats are what the geometry and the layout ask for."""
    wanted = expected_shapes(geometry)
    check_shapes(source.path, source, {name: Slot(name) for name in wanted}, geometry)
    allowed = {*wanted, *(name + SCALE for name in wanted)}
    leftovers = [key for key in source.entries if key not in allowed]
    check_leftovers(source.path, [key.removeprefix("model.") for key in leftovers])
    for name, shape in wanted.items():
        scaled = name + SCALE in source.entries
        if (source.dtype(name) == "int8") != scaled:
            problem = "needs" if not scaled else "is no int8 matrix but has"
            raise CheckpointError(f"{source.path}: {name} {problem} a {SCALE}; copy it again")
        if not scaled:
            continue
        found, kind = source.shape(name + SCALE), source.dtype(name + SCALE)
        fits = len(found) == 2 and found[0] == shape[0] and found[1] and shape[1] % found[1] == 0
        if not fits or kind != "float16":
            raise CheckpointError(
                f"{source.path}: {name + SCALE} is {kind} {list(found)} instead of float16 "
                f"[{shape[0]}, blocks of {shape[1]} columns]; install or copy it again"
            )
