"""`tercet distill`: a smaller Whisper from a larger one.

`init` takes layers; `tercet train text` trains; `align` (`distill_align.py`) finds heads that time words.

The report goes to standard output, everything else to standard error.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.catalog import known_model
from tercet.cli import distill_align
from tercet.cli.chosen import Program, carried_out
from tercet.cli.eval_progress import EvalScreen
from tercet.errors import ModelNotFoundError, OptionError

if TYPE_CHECKING:
    from tercet.checkpoint import Checkpoint
    from tercet.convert.student import Student

_PROGRAM = "tercet distill"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Make a smaller Whisper that learns from a larger one.",
        "  tercet distill init base student\n"
        "  tercet label talks.jsonl labels/ --model base\n"
        "  tercet train text recipe.toml --out runs/student\n",
    )
)
_INIT_HELP = "\n\n".join(
    (
        "Write STUDENT, a folder in Hugging Face's layout: some of TEACHER's decoder layers, and everything "
        "else of it.",
        "TEACHER is a known name, a hub id, a folder (Hugging Face's, CTranslate2's, Tercet's own, a "
        "student's) or OpenAI's .pt file. STUDENT appears when it is complete.",
        "  tercet distill init large-v3 student --decoder_layers 4\n"
        "  tercet distill init base student --layers 0,3,-1",
    )
)
_EPILOG = "Exit code: 0, 1 (nothing was written), 2 (usage, or no such model), 130 (Ctrl-C)."
_Teacher = Annotated[str, typer.Argument(metavar="TEACHER", show_default=False)]
_Student = Annotated[Path, typer.Argument(metavar="STUDENT", show_default=False)]
_DecoderLayers = Annotated[
    int | None,
    typer.Option(
        "--decoder_layers",
        metavar="N",
        help="How many, as far apart as they can be.",
        show_default="2",
    ),
]
_Layers = Annotated[
    str | None,
    typer.Option(
        metavar="LAYERS",
        help="The decoder's layers by number, from 0; -1 is the last.",
        show_default=False,
    ),
]
_EncoderLayers = Annotated[
    int | None,
    typer.Option(
        "--encoder_layers",
        metavar="N",
        help="Fewer, by the same rule; all if left out.",
        show_default=False,
    ),
]
_AudioCtx = Annotated[
    int | None,
    typer.Option(
        "--audio_ctx",
        metavar="N",
        help="Encoder positions, 50 a second, for windows shorter than 30 s.",
        show_default=False,
    ),
]
_ComputeType = Annotated[
    str | None,
    typer.Option(
        "--compute_type",
        metavar="float32|float16",
        help="How numbers are stored; as the teacher's if left out.",
        show_default=False,
    ),
]
_Force = Annotated[
    bool, typer.Option("--force", help="Replace STUDENT if it holds a model and nothing else.")
]
_Json = Annotated[bool, typer.Option("--json", help="The report for machines: one JSON object.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No report and no notes: errors only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What the command line says, where layers are meant."""

    decoder_layers: int | None
    layers: tuple[int, ...] | None
    encoder_layers: int | None
    audio_ctx: int | None
    compute_type: str | None


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    program = Program(
        name=_PROGRAM,
        app=app,
        usage_errors=(ModelNotFoundError,),
        hint=f"{_PROGRAM} --help",
        stopped="stopped; nothing was written",
    )
    return carried_out(program, argv)


def app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    made = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        help=_HELP,
        epilog=_EPILOG,
        context_settings=settings,
    )
    made.command(name="init", help=_INIT_HELP, epilog=_EPILOG, context_settings=settings)(_command)
    made.command(
        name="align",
        help=distill_align.HELP,
        epilog=distill_align.EPILOG,
        context_settings=settings,
    )(distill_align.command)
    return made


def _command(
    teacher: _Teacher,
    student: _Student,
    *,
    decoder_layers: _DecoderLayers = None,
    layers: _Layers = None,
    encoder_layers: _EncoderLayers = None,
    audio_ctx: _AudioCtx = None,
    compute_type: _ComputeType = None,
    force: _Force = False,
    json: _Json = False,
    quiet: _Quiet = False,
) -> Callable[[], None]:
    """What is to be done, from the words of the command line."""
    wanted = _Wanted(
        decoder_layers=decoder_layers,
        layers=None if layers is None else _numbers(layers),
        encoder_layers=encoder_layers,
        audio_ctx=audio_ctx,
        compute_type=compute_type,
    )
    return partial(_init, teacher, student, wanted, force=force, as_json=json, quiet=quiet)


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError:
        raise OptionError(
            f"--layers is {words!r}; give numbers with commas between them, as in 0,-1"
        ) from None


def _init(
    name: str, folder: Path, wanted: _Wanted, *, force: bool, as_json: bool, quiet: bool
) -> None:
    # Late: --help and wrong command lines need none of it.
    from tercet.checkpoint import open_checkpoint
    from tercet.convert.student import make_student, plan_student
    from tercet.convert.student_folder import (
        check_student_folder,
        report_of,
        stored_type,
        write_student,
    )
    from tercet.hub import find_model, find_tokenizer

    screen = EvalScreen(quiet=quiet)
    check_student_folder(folder, force=force)
    with screen.stage("fetching") as on_progress:
        teacher = open_checkpoint(find_model(name, on_progress=on_progress))
    plan = plan_student(
        teacher.geometry,
        decoder_layers=wanted.decoder_layers,
        layers=wanted.layers,
        encoder_layers=wanted.encoder_layers,
        n_audio_ctx=wanted.audio_ctx,
    )
    kind = stored_type(teacher, wanted.compute_type)
    tokenizer = teacher.tokenizer_file or find_tokenizer(teacher.geometry.vocab_size)
    student = make_student(teacher, plan, tokenizer_file=tokenizer)
    known = known_model(name)
    shown = known.name if known else Path(name).resolve().name if Path(name).exists() else name
    report = report_of(student, teacher=shown, compute_type=kind)
    with screen.stage("writing") as on_progress:
        size_bytes = write_student(student, folder, report, force=force, on_progress=on_progress)
    for note in _notes(name, teacher, student):
        screen.note(note)
    if as_json:
        print(json.dumps(report.to_json() | {"size_bytes": size_bytes}))
    elif not quiet:
        print("\n".join([*report.lines(), f"{folder}: {kind}, {size_bytes / 1e6:.1f} MB."]))


def _notes(name: str, teacher: "Checkpoint", student: "Student") -> list[str]:
    """What whoever made this student should know, a line each."""
    from tercet.convert.student import loses_timestamps_in_whisper_cpp

    notes = []
    if teacher.read_int8("model.decoder.layers.0.fc1.weight") is not None:
        notes.append(f"{name}: is in 8 bits, and so rounded; a float16 copy makes a better student")
    if student.geometry.n_audio_ctx < teacher.geometry.n_audio_ctx:
        window_s = student.geometry.n_audio_ctx // 50
        notes.append(
            f"tercet listen hears windows of 30 s, and this student {window_s} s; transformers opens it"
        )
    if loses_timestamps_in_whisper_cpp(student.geometry):
        notes.append(
            "whisper.cpp never gives timestamps with two decoder layers and this vocabulary; three have them"
        )
    return notes
