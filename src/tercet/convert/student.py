"""A student: some of a Whisper's layers, and everything else of it. Read lazily; nothing is trained here.

The layers follow Distil-Whisper's rule (arXiv:2311.00430, section 3): as far apart as they can be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint, Generation, Int8Matrix
from tercet.checkpoint.geometry import Geometry
from tercet.checkpoint.naming import expected_shapes
from tercet.errors import CheckpointError, OptionError
from tercet.text.tokenizer import Tokenizer

POSITIONS_PER_S = 50  # of the encoder
_WHISPER_CPP_SPARED = 51866  # large-v3's vocabulary
_AUDIO_POSITIONS = "model.encoder.embed_positions.weight"
_EMBEDDING = "model.decoder.embed_tokens.weight"
Heads = tuple[tuple[int, int], ...]  # (decoder layer, head)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentPlan:
    """Which of the teacher's layers a student keeps, and how many encoder positions."""

    decoder: tuple[int, ...]  # rising, from 0
    encoder: tuple[int, ...]
    n_audio_ctx: int  # 50 per second

    def geometry(self, teacher: Geometry) -> Geometry:
        """The student's sizes."""
        return replace(
            teacher,
            encoder_layers=len(self.encoder),
            decoder_layers=len(self.decoder),
            n_audio_ctx=self.n_audio_ctx,
        )


def spaced_layers(n_layers: int, count: int) -> tuple[int, ...]:
    """`count` of `n_layers` layers, from 0, as far apart as they can be; the last alone for `count` 1.

    The original's rule in whole numbers: evenly spaced points on [0, n_layers - 1], cut down.

    Raises:
        OptionError: there are not so many, or none is asked for.
    """
    if not 1 <= count <= n_layers:
        raise OptionError(f"{count} layers of {n_layers}; give 1 to {n_layers}")
    if count == 1:
        return (n_layers - 1,)
    return tuple(i * (n_layers - 1) // (count - 1) for i in range(count))


def chosen_layers(n_layers: int, indices: Sequence[int]) -> tuple[int, ...]:
    """Layers by their numbers from 0, or from the end: -1 is the last.

    Raises:
        OptionError: one is not there, comes twice, or stands before a lower one: the layers of a
            decoder work in their order.
    """
    outside = [index for index in indices if not -n_layers <= index < n_layers]
    if outside or not indices:
        what = f"there is no layer {outside[0]}" if outside else "no layer is named"
        raise OptionError(f"{what}; the teacher has 0 to {n_layers - 1}, or -{n_layers} to -1")
    found = tuple(index % n_layers for index in indices)
    if list(found) != sorted(set(found)):
        rising = ",".join(map(str, sorted(set(found))))
        given = ",".join(map(str, indices))
        raise OptionError(f"layers {given} are not rising, each once; did you mean {rising}?")
    return found


def plan_student(
    teacher: Geometry,
    *,
    decoder_layers: int | None = None,
    layers: Sequence[int] | None = None,
    encoder_layers: int | None = None,
    n_audio_ctx: int | None = None,
) -> StudentPlan:
    """What a student keeps of a teacher.

    Args:
        teacher: Its sizes.
        decoder_layers: How many, as far apart as they can be. None: 2, or as many as `layers` names.
        layers: The decoder's layers by number, negative ones from the end.
        encoder_layers: How many, by the same rule. None: all.
        n_audio_ctx: Encoder positions, whole seconds of 50. None: the teacher's.

    Raises:
        OptionError: the teacher has no such layers or positions, or two arguments contradict each other.
    """
    if layers is None:
        count = 2 if decoder_layers is None else decoder_layers
        decoder = _named("decoder_layers", teacher.decoder_layers, count)
    else:
        decoder = chosen_layers(teacher.decoder_layers, layers)
        if decoder_layers not in (None, len(decoder)):
            raise OptionError(
                f"decoder_layers {decoder_layers} and {len(decoder)} layers by number; give one of them"
            )
    every = teacher.encoder_layers
    encoder = _named("encoder_layers", every, every if encoder_layers is None else encoder_layers)
    positions = teacher.n_audio_ctx if n_audio_ctx is None else n_audio_ctx
    if not 1 <= positions <= teacher.n_audio_ctx:
        raise OptionError(
            f"audio_ctx is {positions}; the teacher has positions for {teacher.n_audio_ctx}, and a "
            "student can have fewer, not more"
        )
    if n_audio_ctx is not None and positions % POSITIONS_PER_S:
        raise OptionError(
            f"audio_ctx is {positions}; give whole seconds, multiples of {POSITIONS_PER_S}"
        )
    return StudentPlan(decoder=decoder, encoder=encoder, n_audio_ctx=positions)


def _named(option: str, n_layers: int, count: int) -> tuple[int, ...]:
    try:
        return spaced_layers(n_layers, count)
    except OptionError:
        raise OptionError(f"{option} is {count}; the teacher has 1 to {n_layers}") from None


def mapped_heads(heads: Heads | None, kept: Sequence[int]) -> Heads | None:
    """The teacher's alignment heads under the student's layer numbers; None where none is kept.

    Args:
        heads: (decoder layer, head) pairs of the teacher.
        kept: The layers that the student keeps, in order.
    """
    place = {layer: at for at, layer in enumerate(kept)}
    found = tuple((place[layer], head) for layer, head in heads or () if layer in place)
    return found or None


def told_generation(generation: Generation, tokenizer: Tokenizer) -> Generation:
    """The same, with the ids that are never to be written where the checkpoint does not list them.

    OpenAI's `.pt` lists none. transformers bars only what is listed; the lists are those that
    OpenAI's own decoding computes.
    """
    t = tokenizer
    steering = {t.sot, t.translate, t.transcribe, t.sot_lm, t.sot_prev, t.no_speech}
    never, first = generation.suppress_tokens, generation.begin_suppress_tokens
    return replace(
        generation,
        suppress_tokens=tuple(sorted({*t.non_speech_tokens, *steering}))
        if never is None
        else never,
        begin_suppress_tokens=t.blank if first is None else first,
    )


@dataclass(frozen=True, kw_only=True)
class Student:
    """A checkpoint (`arrays.Checkpoint`) that reads its arrays from its teacher's."""

    teacher: Checkpoint
    plan: StudentPlan
    generation: Generation
    tokenizer_file: Path | None
    layout: str = "memory"

    @property
    def path(self) -> Path:
        """The teacher's: faults of arrays are in there."""
        return self.teacher.path

    @cached_property
    def geometry(self) -> Geometry:
        """The student's sizes."""
        return self.plan.geometry(self.teacher.geometry)

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """The student's array name -> the teacher's."""
        kept = {"encoder": self.plan.encoder, "decoder": self.plan.decoder}
        return {name: _in_teacher(name, kept) for name in expected_shapes(self.geometry)}

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(sorted(self.sources))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array."""
        rows, *rest = self.teacher.shape(self._source(name))
        return (self.plan.n_audio_ctx if name == _AUDIO_POSITIONS else rows, *rest)

    def read(self, name: str) -> np.ndarray:
        """One array, as the teacher's file gives it."""
        array = self.teacher.read(self._source(name))
        return array[: self.plan.n_audio_ctx] if name == _AUDIO_POSITIONS else array

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The teacher's 8-bit form of a matrix, where there is one."""
        return None if name == _AUDIO_POSITIONS else self.teacher.read_int8(self._source(name))

    def _source(self, name: str) -> str:
        if name not in self.sources:
            raise CheckpointError(f"{self.path}: its student has no array {name!r}")
        return self.sources[name]


def make_student(
    teacher: Checkpoint,
    plan: StudentPlan,
    *,
    tokenizer_file: Path,
    alignment_heads: Heads | None = None,
) -> Student:
    """A student of a teacher; arrays are read when asked for.

    Args:
        teacher: Any open checkpoint, another student too.
        plan: What it keeps.
        tokenizer_file: The teacher's tokenizer.json.
        alignment_heads: Of the student, measured; None maps the teacher's.

    Raises:
        TokenizerError: the tokenizer is missing, damaged, or another model's.
    """
    generation = told_generation(
        teacher.generation, Tokenizer.from_file(tokenizer_file, teacher.geometry)
    )
    heads = alignment_heads or mapped_heads(teacher.generation.alignment_heads, plan.decoder)
    return Student(
        teacher=teacher,
        plan=plan,
        generation=replace(generation, alignment_heads=heads),
        tokenizer_file=tokenizer_file,
    )


def _in_teacher(name: str, kept: Mapping[str, Sequence[int]]) -> str:
    parts = name.split(".")  # model.decoder.layers.1.fc1.weight
    if parts[2] == "layers":
        parts[3] = str(kept[parts[1]][int(parts[3])])
    return ".".join(parts)


def count_parameters(geometry: Geometry) -> dict[str, int]:
    """How many numbers a model has: "encoder", "decoder", "embeddings" (of tokens), "total".

    By geometry alone. The output layer is the token embedding, and is counted once.
    """
    counts = dict.fromkeys(("encoder", "decoder", "embeddings"), 0)
    for name, shape in expected_shapes(geometry).items():
        part = "embeddings" if name == _EMBEDDING else name.split(".")[1]
        counts[part] += prod(shape)
    return {**counts, "total": sum(counts.values())}


def loses_timestamps_in_whisper_cpp(geometry: Geometry) -> bool:
    """Whether whisper.cpp takes a model for a first Distil-Whisper, and then never gives timestamps."""
    return geometry.decoder_layers == 2 and geometry.vocab_size != _WHISPER_CPP_SPARED
