"""A student as a folder in Hugging Face's layout, whole or not at all, and what is told of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from tercet.checkpoint.arrays import Checkpoint
from tercet.checkpoint.native import WEIGHTS
from tercet.checkpoint.save import write_safetensors, write_settings, write_vocabulary
from tercet.checkpoint.whole_folder import check_replaceable, whole_folder
from tercet.convert.conversion import SETTINGS, check_space, folder_of
from tercet.convert.student import Student, count_parameters
from tercet.errors import OptionError, OutputError
from tercet.text.vocabulary_files import VOCABULARY_FILES

REPORT = "student.json"
WRITTEN = frozenset({WEIGHTS, REPORT, *SETTINGS, *VOCABULARY_FILES})
_ITEM_BYTES = {"float32": 4, "float16": 2}
_STORED_ALIKE = (  # tell how a checkpoint keeps its numbers: a matrix, a convolution, a norm
    "model.decoder.layers.0.fc1.weight",
    "model.encoder.conv1.weight",
    "model.decoder.layer_norm.weight",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentReport:
    """What a student is, beside its teacher."""

    teacher: str  # name
    decoder: tuple[int, ...]  # which of the teacher's layers
    encoder: tuple[int, ...]
    teacher_layers: tuple[int, int]  # of decoder and encoder
    audio_ctx: int  # encoder positions
    compute_type: str
    student_parameters: dict[str, int]  # by part, and in all
    teacher_parameters: dict[str, int]
    alignment_heads: tuple[tuple[int, int], ...] | None  # the student's
    teacher_alignment_heads: int  # how many

    @property
    def share(self) -> float:
        """The student's parameters per teacher's, 0 to 1."""
        return self.student_parameters["total"] / self.teacher_parameters["total"]

    def to_json(self) -> dict[str, object]:
        """For `student.json` and machines."""
        heads = self.alignment_heads
        return {
            "teacher": self.teacher,
            "decoder_layers": list(self.decoder),
            "encoder_layers": list(self.encoder),
            "audio_ctx": self.audio_ctx,
            "compute_type": self.compute_type,
            "alignment_heads": None if heads is None else [list(pair) for pair in heads],
            "parameters": {"student": self.student_parameters, "teacher": self.teacher_parameters},
            "share": round(self.share, 6),
        }

    def lines(self) -> Sequence[str]:
        """For people: layers, a table of parameters, alignment heads."""
        rows = [
            f"| {part} | {_millions(count)} | {_millions(of)} | {count / of:.1%} |".replace(
                "%", " %"
            )
            for part, count in self.student_parameters.items()
            for of in [self.teacher_parameters[part]]
        ]
        return [
            f"Of {self.teacher}: decoder layers {_numbers(self.decoder)} of {self.teacher_layers[0]}, "
            f"encoder layers {_numbers(self.encoder)} of {self.teacher_layers[1]}.",
            "",
            "| parameters | student | teacher | share |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            self._heads_line(),
        ]

    def _heads_line(self) -> str:
        if self.alignment_heads is not None:
            kept = f"{len(self.alignment_heads)} of the teacher's {self.teacher_alignment_heads}"
            return f"Alignment heads: {kept}, under their new numbers."
        why = (
            "none of the teacher's is kept"
            if self.teacher_alignment_heads
            else "the teacher lists none"
        )
        return f"Alignment heads: {why}, so readers take the decoder's upper half."


def report_of(student: Student, *, teacher: str, compute_type: str) -> StudentReport:
    """The figures of a student.

    Args:
        student: What is told of.
        teacher: The name of its teacher.
        compute_type: How its numbers are stored.
    """
    theirs = student.teacher.geometry
    return StudentReport(
        teacher=teacher,
        decoder=student.plan.decoder,
        encoder=student.plan.encoder,
        teacher_layers=(theirs.decoder_layers, theirs.encoder_layers),
        audio_ctx=student.plan.n_audio_ctx,
        compute_type=compute_type,
        student_parameters=count_parameters(student.geometry),
        teacher_parameters=count_parameters(theirs),
        alignment_heads=student.generation.alignment_heads,
        teacher_alignment_heads=len(student.teacher.generation.alignment_heads or ()),
    )


def stored_type(teacher: Checkpoint, asked: str | None) -> str:
    """How a student's numbers are stored: as asked for, else so that none of the teacher's is rounded.

    Raises:
        OptionError: another type than "float32" and "float16".
    """
    if asked is not None:
        if asked not in _ITEM_BYTES:
            raise OptionError(f"compute_type is {asked!r}; a student has {', '.join(_ITEM_BYTES)}")
        return asked
    kept = {teacher.read(name).dtype for name in _STORED_ALIKE}
    return "float16" if kept == {np.dtype(np.float16)} else "float32"


def check_student_folder(folder: Path, *, force: bool, source: Path | None = None) -> None:
    """Fail before anything is fetched or read if the folder cannot be written.

    Raises:
        OutputError: something is there that must not be replaced, or it is the teacher itself.
    """
    place = Path(folder).expanduser().resolve()
    if source is not None and place == folder_of(source):
        raise OutputError(f"{place}: is the teacher itself; name another folder")
    check_replaceable(place, replace=force, known=WRITTEN)


def write_student(
    student: Student,
    folder: Path,
    report: StudentReport,
    *,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the folder; one array is in memory at a time.

    Args:
        student: What is written.
        folder: Where to.
        report: Goes into `student.json`; its `compute_type` is how numbers are stored.
        force: Replace a folder that holds a model and nothing else.
        on_progress: Called with (bytes done, bytes in all).

    Returns:
        The size of its files in bytes.

    Raises:
        OutputError: the folder must not be replaced, or cannot be written; nothing was changed then.
        CheckpointError: an array is damaged.
        TokenizerError: the tokenizer cannot be read.
    """
    check_student_folder(folder, force=force, source=student.teacher.path)
    kind = report.compute_type
    needed = sum(prod(student.shape(name)) for name in student.names()) * _ITEM_BYTES[kind]
    with whole_folder(folder, replace=force, known=WRITTEN) as place:
        check_space(place, needed)
        write_safetensors(place / WEIGHTS, student, kind, on_progress=on_progress)
        write_settings(
            place.joinpath, student.geometry, student.generation, student.tokenizer_file, kind
        )
        write_vocabulary(place.joinpath, student.tokenizer_file)
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n"
        (place / REPORT).write_text(text, encoding="utf-8")
        return sum(path.stat().st_size for path in place.iterdir())


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _numbers(layers: Sequence[int]) -> str:
    """`0, 5`, or `0 to 31` for neighbours."""
    if len(layers) > 2 and layers[-1] - layers[0] == len(layers) - 1:
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers))
