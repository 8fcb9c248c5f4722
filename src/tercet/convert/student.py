"""A student's beginning: a checkpoint's encoder, and some of its decoder's layers (Distil-Whisper, sec. 4).

Nothing is computed: a student's arrays are its teacher's under other names. No torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint, Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import expected_shapes
from tercet.errors import OptionError

POSITIONS_PER_S = 50  # of the encoder
_ENCODER, _DECODER = "model.encoder.", "model.decoder."
_TABLES = ("model.decoder.embed_tokens.", "model.decoder.embed_positions.")
_LARGE_V3_VOCABULARY = 51866


def spaced_layers(kept: int, layers: int, *, of: str = "model") -> tuple[int, ...]:
    """Which of some layers to keep: as far apart as can be, the first and the last among them.

    Distil-Whisper's rule (`create_student_model.py`): evenly spaced points, cut to whole numbers, the last
    one forced; a single layer is the last.

    Args:
        kept: How many, 1 to `layers`.
        layers: How many there are.
        of: Whose, for the error's line.

    Raises:
        OptionError: not as many are there.
    """
    if not 1 <= kept <= layers:
        raise OptionError(
            f"{kept} layers are asked for; the teacher's {of} has {layers}, give 1 to {layers}"
        )
    if kept == 1:
        return (layers - 1,)
    return (*(index * (layers - 1) // (kept - 1) for index in range(kept - 1)), layers - 1)


def named_layers(indices: Sequence[int], layers: int) -> tuple[int, ...]:
    """Layers by their numbers from 0; -1 is the last, as in Python.

    Raises:
        OptionError: one is not there, is named twice, or stands before an earlier one.
    """
    for index in indices:
        if not -layers <= index < layers:
            raise OptionError(
                f"there is no layer {index}; give numbers from {-layers} to {layers - 1}"
            )
    found = tuple(index % layers for index in indices)
    if not found:
        raise OptionError("no layer is named; give some, as in 0,-1")
    if list(found) != sorted(set(found)):
        told = ", ".join(map(str, found))
        raise OptionError(f"layers {told} are named; give each once, in rising order")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a student keeps of its teacher."""

    decoder_layers: tuple[int, ...]
    encoder_layers: tuple[int, ...]
    window_s: int = 30  # what the encoder hears at once

    def geometry(self, teacher: Geometry) -> Geometry:
        """The student's sizes.

        Raises:
            OptionError: the teacher hears less than `window_s` at once.
        """
        most_s = teacher.n_audio_ctx // POSITIONS_PER_S
        if not 1 <= self.window_s <= most_s:
            raise OptionError(
                f"windows of {self.window_s} s are asked for; the teacher hears 1 to {most_s} s at once"
            )
        return replace(
            teacher,
            decoder_layers=len(self.decoder_layers),
            encoder_layers=len(self.encoder_layers),
            n_audio_ctx=self.window_s * POSITIONS_PER_S,
        )

    def generation(self, teacher: Generation) -> Generation:
        """How the student decodes: as its teacher, with those of its alignment heads that are still there.

        Without any left, nothing is said of them, and every program takes its default: a head's number in
        another layer would be a wrong one.
        """
        kept = {layer: place for place, layer in enumerate(self.decoder_layers)}
        heads = teacher.alignment_heads or ()
        mapped = tuple((kept[layer], head) for layer, head in heads if layer in kept)
        return replace(teacher, alignment_heads=mapped or None)


@dataclass(frozen=True, slots=True)
class Student:
    """A checkpoint that reads its teacher's arrays (`checkpoint.Checkpoint`).

    Raises:
        OptionError: the plan asks for more than the teacher has.
    """

    teacher: Checkpoint
    plan: Plan
    geometry: Geometry = field(init=False)
    generation: Generation = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "geometry", self.plan.geometry(self.teacher.geometry))
        object.__setattr__(self, "generation", self.plan.generation(self.teacher.generation))

    @property
    def path(self) -> Path:
        """The teacher's."""
        return self.teacher.path

    @property
    def layout(self) -> str:
        """Where the arrays lie is the teacher's business."""
        return self.teacher.layout

    @property
    def tokenizer_file(self) -> Path | None:
        """The teacher's."""
        return self.teacher.tokenizer_file

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(sorted(expected_shapes(self.geometry)))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array."""
        return expected_shapes(self.geometry)[name]

    def read(self, name: str) -> np.ndarray:
        """One array, as the teacher stores it; positions behind the window's end are left out."""
        array = self.teacher.read(self._teachers(name))
        return array[: self.shape(name)[0]] if name.endswith("embed_positions.weight") else array

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit form of a matrix, where the teacher has one."""
        return self.teacher.read_int8(self._teachers(name))

    def _teachers(self, name: str) -> str:
        """The teacher's name of an array."""
        for side, kept in (
            (_ENCODER, self.plan.encoder_layers),
            (_DECODER, self.plan.decoder_layers),
        ):
            start = f"{side}layers."
            if name.startswith(start):
                number, _, rest = name.removeprefix(start).partition(".")
                return f"{start}{kept[int(number)]}.{rest}"
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers in a model, by part; what is tied counts once."""

    encoder: int
    decoder: int  # without its tables
    tables: int  # embeddings of tokens and of the decoder's positions

    @property
    def total(self) -> int:
        """All of them."""
        return self.encoder + self.decoder + self.tables


def sizes_of(geometry: Geometry) -> Sizes:
    """How many numbers a model has."""
    counts = {name: prod(shape) for name, shape in expected_shapes(geometry).items()}
    tables = sum(count for name, count in counts.items() if name.startswith(_TABLES))
    encoder = sum(count for name, count in counts.items() if name.startswith(_ENCODER))
    return Sizes(encoder=encoder, tables=tables, decoder=sum(counts.values()) - encoder - tables)


def loses_timestamps_in_whisper_cpp(geometry: Geometry) -> bool:
    """Whether whisper.cpp takes a model for a first Distil-Whisper, and never asks it for timestamps."""
    return geometry.decoder_layers == 2 and geometry.vocab_size != _LARGE_V3_VOCABULARY
