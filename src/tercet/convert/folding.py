"""A checkpoint whose encoder is folded (see `smooth.py`), one layer in memory at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint, Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.smoothing import GROUPS
from tercet.convert.smooth import fold
from tercet.errors import CheckpointError

_ENCODER_LAYER = re.compile(r"^model\.encoder\.layers\.(\d+)\.(.+)$")


class FoldedLayers:
    """Reads a checkpoint with its encoder folded; layers are folded when one of their arrays is read."""

    def __init__(self, checkpoint: Checkpoint, statistics: Mapping[str, np.ndarray]) -> None:
        """Find every layer's exponents.

        Raises:
            CheckpointError: the statistics are another model's.
        """
        self._checkpoint = checkpoint
        self._statistics = statistics
        self._layer = -1
        self._arrays: dict[str, np.ndarray] = {}  # of that layer, folded
        self.exponents: dict[str, np.ndarray] = {}  # as `smooth.fold` gives them
        for index in range(checkpoint.geometry.encoder_layers):
            self._fold(index)

    def read(self, name: str) -> np.ndarray:
        """One array; float32 where folding changed it."""
        found = _ENCODER_LAYER.match(name)
        if found is None:
            return self._checkpoint.read(name)
        if int(found[1]) != self._layer:
            self._fold(int(found[1]))
        return self._arrays[name]

    def read_int8(self, name: str) -> Int8Matrix | None:
        """Folding is done in floats, for the encoder; the decoder is as it was."""
        return None if _ENCODER_LAYER.match(name) else self._checkpoint.read_int8(name)

    def _fold(self, index: int) -> None:
        self._arrays = {}  # before the next ones are read
        groups = [f"layers.{index}.{group}" for group in GROUPS]
        known = {name: self._statistics[name] for name in groups if name in self._statistics}
        one = _OneLayer(self._checkpoint, index)
        try:
            folded, exponents = fold(one, {_as_first(name): v for name, v in known.items()})
        except CheckpointError as error:  # it knows of one layer only
            raise CheckpointError(str(error).replace("layers.0.", f"layers.{index}.")) from error
        self._layer = index
        self._arrays = {one.original(name): array for name, array in folded.arrays.items()}
        self.exponents |= {f"layers.{index}.{n.split('.', 2)[2]}": v for n, v in exponents.items()}


@dataclass(frozen=True, slots=True)
class _OneLayer:
    """One encoder layer of a checkpoint, as a checkpoint that has no other."""

    checkpoint: Checkpoint
    index: int

    @property
    def path(self) -> Path:
        return self.checkpoint.path

    @property
    def layout(self) -> str:
        return self.checkpoint.layout

    @property
    def geometry(self) -> Geometry:
        return replace(self.checkpoint.geometry, encoder_layers=1)

    @property
    def generation(self) -> Generation:
        return self.checkpoint.generation

    @property
    def tokenizer_file(self) -> Path | None:
        return self.checkpoint.tokenizer_file

    def names(self) -> tuple[str, ...]:
        own = f"model.encoder.layers.{self.index}."
        mine = (name for name in self.checkpoint.names() if name.startswith(own))
        return tuple(sorted(name.replace(own, "model.encoder.layers.0.") for name in mine))

    def original(self, name: str) -> str:
        """The array's name in the whole checkpoint."""
        return name.replace(".layers.0.", f".layers.{self.index}.", 1)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.checkpoint.shape(self.original(name))

    def read(self, name: str) -> np.ndarray:
        return self.checkpoint.read(self.original(name))

    def read_int8(self, name: str) -> Int8Matrix | None:
        return self.checkpoint.read_int8(self.original(name))


def _as_first(statistic: str) -> str:
    return f"layers.0.{statistic.split('.', 2)[2]}"
