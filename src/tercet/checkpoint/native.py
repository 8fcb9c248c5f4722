"""Tercet's stored layout.

One safetensors file with 8-bit matrices, beside Hugging Face's JSON files.

Named as compressed-tensors names its "int-quantized" format: `X.weight` int8 [out, in] with
`X.weight_scale` float32 [out, 1]; everything else in float16 or float32 under Hugging Face's names.
`config.json` carries `tercet_format`; the safetensors metadata carries one key, `tercet`, whose
value is JSON: the encoder's fingerprint, licence, source, and settings. `smooth.*` int8 are the
exponents that were folded into the encoder, `calibration.*` the statistics they came from. Reading
only; `convert/store.py` writes.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tercet.checkpoint.arrays import Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.hugging_face import read_generation, read_geometry
from tercet.checkpoint.naming import expected_shapes
from tercet.checkpoint.settings import read_json_object
from tercet.errors import CheckpointError

FORMAT = 1
WEIGHTS = "model.safetensors"
METADATA_KEY = "tercet"
SCALE = "_scale"
SMOOTH = "smooth."
CALIBRATION = "calibration."


def open_native(folder: Path) -> "NativeCheckpoint":
    """Open a folder whose `config.json` carries `tercet_format`.

    Raises:
        CheckpointError: a file is missing or damaged, arrays are not those of the geometry, or a newer release wrote it.
    """
    config = read_json_object(folder / "config.json")
    geometry = read_geometry(config, folder / "config.json")
    checkpoint = NativeCheckpoint(
        folder, geometry, read_generation(folder, config, geometry)
    )
    expected = expected_shapes(geometry)
    found = {name: checkpoint.shape(name) for name in checkpoint.names()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            weights = folder / WEIGHTS
            shapes = f"{found.get(name)}, config.json makes it {expected.get(name)}"
            raise CheckpointError(f"{weights}: {name} is {shapes}; install or copy it again")
    return checkpoint


class NativeCheckpoint:
    """An open folder in Tercet's layout."""

    layout = "native"

    def __init__(self, folder: Path, geometry: Geometry, generation: Generation) -> None:
        """Open the weights; `config.json` and `generation_config.json` are read by the caller.

        Raises:
            CheckpointError: the weights are missing, damaged, or of a newer format.
        """
        from safetensors import SafetensorError, safe_open

        self.path = folder
        self.geometry = geometry
        self.generation = generation
        tokenizer = folder / "tokenizer.json"
        self.tokenizer_file = tokenizer if tokenizer.is_file() else None
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise CheckpointError(f"{folder}: {WEIGHTS} is missing; install or copy the model again")
        try:
            self._file = safe_open(weights, framework="numpy")
            self._keys = frozenset(self._file.keys())
            stored = json.loads((self._file.metadata() or {})[METADATA_KEY])
        except (SafetensorError, OSError, KeyError, ValueError) as fault:
            reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
            message = f"{weights}: damaged or not Tercet's ({reason}); install or copy it again"
            raise CheckpointError(message) from fault
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            found = stored.get("format") if isinstance(stored, dict) else None
            message = f"{weights}: format {found}, this release reads {FORMAT}; upgrade tercet"
            raise CheckpointError(message)
        self.metadata: Mapping[str, Any] = stored

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(
            sorted(k for k in self._keys if k.startswith("model.") and not k.endswith(SCALE))
        )

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, from the header."""
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name: str) -> np.ndarray:
        """One array; 8-bit matrices come as float32."""
        stored = self.read_int8(name)
        if stored is not None:
            return stored.to_float()
        array: np.ndarray = self._file.get_tensor(name)
        return array

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit matrix, None for arrays kept as floats."""
        if name + SCALE not in self._keys:
            return None
        scales = self._file.get_tensor(name + SCALE).reshape(-1)
        return Int8Matrix(self._file.get_tensor(name), scales)

    @cached_property
    def smoothing(self) -> dict[str, np.ndarray]:
        """Exponents folded into the encoder, int8 [width] per group (see `convert/smooth.py`)."""
        return self._group(SMOOTH)

    @cached_property
    def calibration(self) -> dict[str, np.ndarray]:
        """Largest absolute input per channel and matrix, float16, as measured by the recipe."""
        return self._group(CALIBRATION)

    def _group(self, prefix: str) -> dict[str, np.ndarray]:
        keys = sorted(k for k in self._keys if k.startswith(prefix))
        return {k.removeprefix(prefix): self._file.get_tensor(k) for k in keys}
