"""`tercet distill`: where a student begins. What it learns is `tercet train text`'s concern.

The report goes to standard output, everything else to standard error.
"""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tercet.cli import exit_codes
from tercet.cli.chosen import chosen, underscored
from tercet.errors import ModelNotFoundError, OptionError, TercetError

if TYPE_CHECKING:
    from tercet.checkpoint import Checkpoint
    from tercet.convert.student import Plan, Student

_PROGRAM = "tercet distill"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Make a student for tercet train text: a teacher's encoder, and some layers of its decoder.",
        "  tercet distill init base student --decoder_layers 2\n"
        "  tercet distill init large-v3 student --layers 0,10,20,-1",
    )
)
_EPILOG = "Exit code: 0, 1 (nothing was written), 2 (usage), 130 (Ctrl-C)."
_INIT_HELP = "\n\n".join(
    (
        "Write a student that has some of its teacher's layers, and all else as it is.",
        "TEACHER is a model's name, folder, file or hub id, or another student. STUDENT is a new folder in "
        "Hugging Face's layout: transformers, CTranslate2's and whisper.cpp's converters open it, too.",
    )
)
_Teacher = Annotated[str, typer.Argument(metavar="TEACHER", show_default=False)]
_Folder = Annotated[Path, typer.Argument(metavar="STUDENT", show_default=False)]
_DecoderLayers = Annotated[
    int | None,
    typer.Option(
        "--decoder_layers",
        metavar="N",
        help="Layers of the decoder, as far apart as can be; 2 if left out.",
        show_default=False,
    ),
]
_Layers = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="These layers of the decoder, from 0; -1 is the last.",
        show_default=False,
    ),
]
_EncoderLayers = Annotated[
    int | None,
    typer.Option(
        "--encoder_layers",
        metavar="N",
        help="Layers of the encoder, as far apart as can be; all if left out.",
        show_default=False,
    ),
]
_Window = Annotated[
    int | None,
    typer.Option(
        "--window_s",
        metavar="S",
        help="What the encoder hears at once, in seconds; as the teacher if left out.",
        show_default=False,
    ),
]
_Type = Annotated[
    str, typer.Option("--compute_type", metavar="float16|float32", help="How numbers are stored.")
]
_Revision = Annotated[
    str | None,
    typer.Option(
        metavar="REVISION",
        help="A branch, tag or commit of the teacher's hub repository.",
        show_default=False,
    ),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace STUDENT if it holds a model.")]
_Json = Annotated[bool, typer.Option("--json", help="For machines: one JSON object.")]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        words = [underscored(word) for word in argv] or ["--help"]
        action = chosen(app(), words, program=_PROGRAM)
        if callable(action):  # else it asked for help
            action()
        return exit_codes.OK
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; nothing was written") from None
    except TercetError as error:
        is_usage = isinstance(error, OptionError)
        hint = f" (see {_PROGRAM} --help)" if is_usage else ""
        print(f"{_PROGRAM}: {' '.join(str(error).split())}{hint}", file=sys.stderr)
        is_usage = is_usage or isinstance(error, ModelNotFoundError)
        return exit_codes.USAGE if is_usage else exit_codes.FAILED


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

    @made.callback()
    def _() -> None:
        """Keep `init` a word of its own: typer takes a single command for the program itself."""

    @made.command(name="init", help=_INIT_HELP, epilog=_EPILOG, context_settings=settings)
    def _(
        teacher: _Teacher,
        student: _Folder,
        *,
        decoder_layers: _DecoderLayers = None,
        layers: _Layers = None,
        encoder_layers: _EncoderLayers = None,
        window_s: _Window = None,
        compute_type: _Type = "float16",
        revision: _Revision = None,
        force: _Force = False,
        machine: _Json = False,
    ) -> Callable[[], None]:
        plan = partial(_plan, decoder_layers, layers, encoder_layers, window_s)
        return partial(_init, teacher, student, plan, compute_type, revision, force, machine)

    return made


def _init(
    teacher: str,
    folder: Path,
    plan_of: "Callable[[Checkpoint], Plan]",
    compute_type: str,
    revision: str | None,
    force: bool,
    machine: bool,
) -> None:
    from tercet.checkpoint import open_checkpoint
    from tercet.convert.conversion import Conversion, convert
    from tercet.convert.student import Student
    from tercet.hub import find_model, find_tokenizer

    if compute_type not in ("float16", "float32"):
        raise OptionError(f"--compute_type is {compute_type!r}; give float16 or float32")
    conversion = Conversion(folder=folder, compute_type=compute_type, force=force)
    conversion.check_folder()
    opened = open_checkpoint(find_model(teacher, revision=revision))
    student = Student(opened, plan_of(opened))
    tokenizer = opened.tokenizer_file or find_tokenizer(opened.geometry.vocab_size)
    convert(student, conversion, name=folder.name, tokenizer_file=tokenizer)
    report = _report(student)
    if machine:
        print(json.dumps({"student": str(folder), "teacher": teacher, **report}))
    else:
        print(_told(folder, teacher, report))
    for warning in _warnings(student):
        print(f"{_PROGRAM}: {warning}", file=sys.stderr)


def _plan(
    decoder_layers: int | None,
    layers: str | None,
    encoder_layers: int | None,
    window_s: int | None,
    teacher: "Checkpoint",
) -> "Plan":
    """What is kept of a teacher.

    Raises:
        OptionError: it has not as much.
    """
    from tercet.convert.student import POSITIONS_PER_S, Plan, named_layers, spaced_layers

    its = teacher.geometry
    if layers is not None:
        kept = named_layers(_numbers(layers), its.decoder_layers)
        if decoder_layers not in (None, len(kept)):
            raise OptionError(
                f"--decoder_layers is {decoder_layers}, and --layers names {len(kept)}; leave one out"
            )
    else:
        wanted = 2 if decoder_layers is None else decoder_layers
        kept = spaced_layers(wanted, its.decoder_layers, of="decoder")
    ears = its.encoder_layers if encoder_layers is None else encoder_layers
    whole_s = its.n_audio_ctx // POSITIONS_PER_S
    return Plan(
        decoder_layers=kept,
        encoder_layers=spaced_layers(ears, its.encoder_layers, of="encoder"),
        window_s=whole_s if window_s is None else window_s,
    )


def _numbers(layers: str) -> list[int]:
    """`0,-1` as numbers.

    Raises:
        OptionError: one is no whole number.
    """
    try:
        return [int(word) for word in layers.split(",")]
    except ValueError:
        raise OptionError(
            f"--layers is {layers!r}; give whole numbers with commas between them, as in 0,-1"
        ) from None


def _report(student: "Student") -> dict[str, object]:
    """How many numbers the student has, of how many."""
    from tercet.convert.student import sizes_of

    ours, theirs = sizes_of(student.geometry), sizes_of(student.teacher.geometry)
    parts = {
        name: {"student": getattr(ours, name), "teacher": getattr(theirs, name)}
        for name in ("encoder", "decoder", "tables", "total")
    }
    return {
        "decoder_layers": list(student.plan.decoder_layers),
        "encoder_layers": list(student.plan.encoder_layers),
        "window_s": student.plan.window_s,
        "alignment_heads": [list(pair) for pair in student.generation.alignment_heads or ()],
        "parameters": parts,
        "share": ours.total / theirs.total,
    }


_PARTS = {
    "encoder": "encoder",
    "decoder": "decoder's layers",
    "tables": "embeddings",
    "total": "all",
}


def _told(folder: Path, teacher: str, report: dict[str, Any]) -> str:
    """The report as Markdown."""
    kept = ", ".join(map(str, report["decoder_layers"]))
    share = 100 * report["share"]
    rows = [
        f"| {told} | {_millions(counts['teacher'])} | {_millions(counts['student'])} |"
        for name, told in _PARTS.items()
        for counts in [report["parameters"][name]]
    ]
    return "\n".join(
        [
            f"{folder}: decoder layers {kept} of {teacher}, {share:.1f} % of its parameters "
            f"({100 - share:.1f} % smaller).\n",
            "| parameters | teacher | student |\n| --- | --- | --- |",
            *rows,
        ]
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"


def _warnings(student: "Student") -> list[str]:
    """What will surprise whoever uses the student elsewhere."""
    from tercet.convert.student import loses_timestamps_in_whisper_cpp

    told = []
    if loses_timestamps_in_whisper_cpp(student.geometry):
        told.append(
            "whisper.cpp gives no timestamps for two decoder layers with this vocabulary: it takes "
            "them for a first Distil-Whisper; three layers have them"
        )
    if student.teacher.generation.alignment_heads and not student.generation.alignment_heads:
        told.append(
            "no layer that was kept has one of the teacher's alignment heads; programs that time words will "
            "take their default, all heads of the decoder's upper half"
        )
    if student.geometry.n_audio_ctx != student.teacher.geometry.n_audio_ctx:
        told.append(
            f"Tercet listens 30 s at once, and cannot use a student that hears {student.plan.window_s} s; "
            "transformers can"
        )
    return told
