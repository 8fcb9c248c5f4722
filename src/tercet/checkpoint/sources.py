"""Named arrays as a layout stores them, and the one class that turns them into a checkpoint.

A source knows bytes, a table of slots knows names, `SlottedCheckpoint` joins them. No layout's
files are known here.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tercet.checkpoint.arrays import Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import Slot, expected_shapes
from tercet.errors import CheckpointError

logger = logging.getLogger(__name__)

_ADAPTER_MARKS = ("lora_", ".base_layer.", "modules_to_save", "adalora", ".ia3_")
_PACKED_MARKS = (".qweight", ".qzeros", ".weight_packed", ".absmax", ".quant_state", ".SCB")


class ArraySource(Protocol):
    """Arrays under their stored names."""

    def stored_names(self) -> Collection[str]:
        """All stored names."""
        ...

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one array, without reading it."""
        ...

    def read(self, key: str) -> np.ndarray:
        """One array: float16 where it is stored so, else float32."""
        ...


class Int8Source(Protocol):
    """A source that holds some matrices in 8 bits."""

    def read_int8(self, key: str) -> Int8Matrix | None:
        """The stored 8-bit form of one matrix."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlottedCheckpoint:
    """A checkpoint (`arrays.Checkpoint`) over a source and the table that names its arrays."""

    path: Path
    layout: str
    geometry: Geometry
    generation: Generation
    tokenizer_file: Path | None
    source: ArraySource
    slots: Mapping[str, Slot]
    int8: Int8Source | None = None

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(sorted(self.slots))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array."""
        slot = self._slot(name)
        rows, *rest = self.source.shape(slot.key)
        return (rows // slot.parts, *rest)

    def read(self, name: str) -> np.ndarray:
        """One array: float16 where it is stored so, else float32."""
        slot = self._slot(name)
        return _part(self.source.read(slot.key), slot)

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit form of a matrix, where there is one."""
        slot = self._slot(name)
        stored = self.int8.read_int8(slot.key) if self.int8 is not None else None
        if stored is None:
            return None
        return Int8Matrix(_part(stored.values, slot), _part(stored.scales, slot))

    def _slot(self, name: str) -> Slot:
        if name not in self.slots:
            raise CheckpointError(f"{self.path}: a Whisper checkpoint has no array {name!r}")
        return self.slots[name]


def _part(values: np.ndarray, slot: Slot) -> np.ndarray:
    if slot.parts == 1:
        return values
    rows = len(values) // slot.parts
    return values[slot.part * rows : (slot.part + 1) * rows].copy()


def check_shapes(
    path: Path, source: ArraySource, slots: Mapping[str, Slot], geometry: Geometry
) -> None:
    """Every array is there, in the right shape.

    Raises:
        CheckpointError: one is missing or odd; names the first few.
    """
    missing, odd = [], []
    keys = frozenset(source.stored_names())
    for name, shape in expected_shapes(geometry).items():
        slot = slots[name]
        if slot.key not in keys:
            missing.append(slot.key)
            continue
        stored, wanted = source.shape(slot.key), (shape[0] * slot.parts, *shape[1:])
        if stored != wanted:
            odd.append(f"{slot.key} has shape {list(stored)} instead of {list(wanted)}")
    if missing:
        raise CheckpointError(
            f"{path}: {_first(missing)} missing; the file is incomplete or no Whisper checkpoint"
        )
    if odd:
        raise CheckpointError(f"{path}: {_first(odd)}; the weights do not fit their settings")


def check_leftovers(path: Path, leftovers: Collection[str], harmless: Collection[str] = ()) -> None:
    """Judge the keys that no table names.

    Unknown keys inside encoder or decoder change what the model computes, so they are an error;
    others (heads that a project added, optimizer state) are passed over and logged.

    Raises:
        CheckpointError: an adapter that is not merged, packed weights, or another architecture.
    """
    rest = sorted(key for key in leftovers if key not in harmless)
    adapters = [key for key in rest if any(mark in key for mark in _ADAPTER_MARKS)]
    if adapters:
        raise CheckpointError(
            f"{path}: {_first(adapters)} of an adapter (LoRA or its kin); merge it first "
            "(peft: merge_and_unload, then save_pretrained)"
        )
    packed = [key for key in rest if any(mark in key for mark in _PACKED_MARKS)]
    if packed:
        raise CheckpointError(
            f"{path}: {_first(packed)} of packed weights; give the float checkpoint instead"
        )
    foreign = [key for key in rest if key.startswith(("encoder.", "decoder."))]
    if foreign:
        raise CheckpointError(
            f"{path}: {_first(foreign)} unknown; another architecture than Whisper's"
        )
    if rest:
        logger.info("%s: %s not used", path, _first(rest))


def _first(names: list[str]) -> str:
    """The first three, and how many more."""
    shown = ", ".join(name[:120] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
