"""What every checkpoint layout opens to: named arrays, read when asked for.

Names are Hugging Face's (`model.encoder.layers.0.self_attn.q_proj.weight`), with these rules:
matrices are [out, in]; fused projections are split; `proj_out.weight` is never listed (it is the
token embedding); `k_proj` has no bias. See `naming.py` for the full list.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tercet.checkpoint.geometry import Geometry


@dataclass(frozen=True, slots=True)
class Int8Matrix:
    """A matrix kept in 8 bits: each value times the scale of its row and block.

    `values` is int8 [out, in], `scales` float32 [out, blocks]: equal blocks of columns, or one, the row.
    """

    values: np.ndarray
    scales: np.ndarray

    def to_float(self) -> np.ndarray:
        """The matrix as float32 [out, in]."""
        weight: np.ndarray = np.multiply(self.values, self.steps(), dtype=np.float32)
        return weight

    def steps(self) -> np.ndarray:
        """What one step of each value is worth, float32 [out, in]."""
        blocks = max(1, self.scales.shape[1])
        return np.repeat(self.scales, self.values.shape[1] // blocks, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What `generation_config.json` says about decoding. `None` means: derive it from the tokenizer."""

    suppress_tokens: tuple[int, ...] | None = None
    begin_suppress_tokens: tuple[int, ...] | None = None
    alignment_heads: tuple[tuple[int, int], ...] | None = None  # (decoder layer, head)
    max_initial_timestamp_index: int = 50  # in units of 0.02 s
    true_length: bool = (
        False  # it learnt to hear windows as long as they are, without padding to 30 s
    )


class Arrays(Protocol):
    """Named arrays, read when asked for."""

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, without reading it."""
        ...

    def read(self, name: str) -> np.ndarray:
        """One array: float32, or float16 where it is stored so (int8 and bfloat16 come as float32)."""
        ...

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit form of a matrix, where there is one."""
        ...


class Checkpoint(Arrays, Protocol):
    """An open checkpoint of any layout. Reading is lazy; `read` never changes the file."""

    @property
    def path(self) -> Path:
        """The file or folder that was opened."""
        ...

    @property
    def layout(self) -> str:
        """One of "hf", "openai", "ctranslate2", "native", "memory"."""
        ...

    @property
    def geometry(self) -> Geometry:
        """The sizes that fix every array's shape."""
        ...

    @property
    def generation(self) -> Generation:
        """What the checkpoint says about decoding."""
        ...

    @property
    def tokenizer_file(self) -> Path | None:
        """A Hugging Face tokenizer.json, if one lies beside the weights."""
        ...


@dataclass
class MemoryCheckpoint:
    """Arrays that are in memory already: random models, tests, and weights on their way to another layout."""

    geometry: Geometry
    arrays: dict[str, np.ndarray]
    path: Path = Path("memory")
    layout: str = "memory"
    generation: Generation = field(default_factory=Generation)
    tokenizer_file: Path | None = None

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(sorted(self.arrays))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array."""
        return self.arrays[name].shape

    def read(self, name: str) -> np.ndarray:
        """One array, as it was given."""
        return self.arrays[name]

    def read_int8(self, name: str) -> Int8Matrix | None:
        """Nothing here is kept in 8 bits."""
        return None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
