"""`tercet convert`: any Whisper checkpoint -> a folder that loads fast, plain floats, or ONNX graphs.

A head -> one file; `convert_head.py` does that. A summary goes to standard output, everything else to
standard error.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.catalog import known_head, known_model
from tercet.cli import exit_codes
from tercet.cli.chosen import chosen, underscored
from tercet.cli.licences import licence_notes
from tercet.errors import ModelNotFoundError, OptionError, TercetError

if TYPE_CHECKING:
    import numpy as np

_PROGRAM = "tercet convert"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Convert a Whisper checkpoint into a folder that loads fast and needs less memory.",
        "SOURCE is a known name (tiny ... large-v3, turbo, distil-*), a hub id, a folder (Hugging "
        "Face's, CTranslate2's, Tercet's own) or OpenAI's .pt file. FOLDER appears when it is "
        "complete; tercet listen --model FOLDER opens it.",
        "A head for sound events or speech tokens (Whisper-AT's .pth, Ichigo's .pth, WhisperSpeech's "
        ".model, a known name, owner/name:file) becomes one FILE.safetensors, which tercet listen "
        "opens with --tags or --tokens.",
        "  tercet convert large-v3 large-v3-int8\n"
        "  tercet convert finetuned/ out --calibrate talks/\n"
        "  tercet convert small graphs --to onnx --compute_type float32\n"
        "  tercet convert medium_low.pth tags.safetensors --encoder medium",
    )
)
_EPILOG = (
    "Exit code: 0, 1 (nothing was written), 2 (usage, or no such model), 130 (Ctrl-C). A run that was "
    "killed leaves the old FOLDER or FILE, or none; the next run clears up after it."
)
OnProgress = Callable[[int, int], None]
_Source = Annotated[str, typer.Argument(metavar="SOURCE", show_default=False, hidden=True)]
_Folder = Annotated[str, typer.Argument(metavar="FOLDER|FILE", show_default=False, hidden=True)]
_Type = Annotated[
    str | None,
    typer.Option(
        "--compute_type",
        metavar="int8|float16|float32",
        help="How numbers are stored.",
        show_default="int8; of a head float32",
    ),
]
_To = Annotated[
    str,
    typer.Option(
        metavar="tercet|onnx",
        help="tercet: weights (for float types Hugging Face's layout); onnx: graphs, int8 or float32.",
    ),
]
_Calibrate = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Speech to measure with, for a more accurate int8: a file, folder or pattern; repeatable.",
        show_default=False,
    ),
]
_Revision = Annotated[
    str | None,
    typer.Option(metavar="REVISION", help="A branch, tag or commit of the hub repository."),
]
_Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Merge a PEFT adapter (LoRA): a folder, a file, or a hub id."
    ),
]
_HeadMode = Annotated[
    str | None,
    typer.Option(
        "--head_mode",
        metavar="MODE",
        help="Of a Whisper-AT head whose file does not tell: last_tr_8, mean_mlp, wa_tr_1, ...",
    ),
]
_Labels = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A tag head's labels: text, CSV or JSON, in its order."),
]
_Encoder = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Bind a head to the model that it was trained on."),
]
_Force = Annotated[
    bool, typer.Option("--force", help="Replace FOLDER or FILE if a conversion wrote it.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary: errors only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """What the command line says."""

    source: str
    folder: str  # of a head: the file
    compute_type: str | None
    to: str
    calibrate: tuple[str, ...]
    revision: str | None
    adapter: str | None
    head_mode: str | None
    labels: str | None
    encoder: str | None
    force: bool
    quiet: bool

    @property
    def is_of_head(self) -> bool:
        """Whether one file is to be written."""
        return self.folder.endswith(".safetensors")


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        options = _parse(argv)
        if options is None:
            return exit_codes.OK
        return _convert_head(options) if options.is_of_head else _convert(options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; nothing was written") from None
    except TercetError as error:
        is_usage = isinstance(error, OptionError)
        hint = f" (see {_PROGRAM} --help)" if is_usage else ""
        print(f"{_PROGRAM}: {' '.join(str(error).split())}{hint}", file=sys.stderr)
        is_usage = is_usage or isinstance(error, ModelNotFoundError)
        return exit_codes.USAGE if is_usage else exit_codes.FAILED


def _parse(argv: Sequence[str]) -> ConvertOptions | None:
    """Read a command line; None when it asked for help, which is then printed."""
    words = [underscored(word) for word in argv] or ["--help"]
    found = chosen(_app(), words, program=_PROGRAM)
    return found if isinstance(found, ConvertOptions) else None


def _app() -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    settings = {"help_option_names": ["--help", "-h"]}

    @app.command(help=_HELP, epilog=_EPILOG, context_settings=settings)
    def _(
        source: _Source,
        folder: _Folder,
        *,
        compute_type: _Type = None,
        to: _To = "tercet",
        calibrate: _Calibrate = None,
        revision: _Revision = None,
        adapter: _Adapter = None,
        head_mode: _HeadMode = None,
        labels: _Labels = None,
        encoder: _Encoder = None,
        force: _Force = False,
        quiet: _Quiet = False,
    ) -> ConvertOptions:
        return ConvertOptions(
            source=source,
            folder=folder,
            compute_type=compute_type,
            to=to,
            calibrate=tuple(calibrate or ()),
            revision=revision,
            adapter=adapter,
            head_mode=head_mode,
            labels=labels,
            encoder=encoder,
            force=force,
            quiet=quiet,
        )

    return app


def _convert_head(options: ConvertOptions) -> int:
    unused = {
        "to": options.to if options.to != "tercet" else None,
        "calibrate": options.calibrate,
        "revision": options.revision,
        "adapter": options.adapter,
    }
    for name, value in unused.items():
        if value:
            raise OptionError(
                f"--{name} has no effect on a head, which {options.folder} is to hold"
            )
    if known_model(options.source) is not None or Path(options.source).is_dir():
        raise OptionError(
            f"{options.source} is a model, which is written as a folder; {options.folder} is a file's name"
        )
    from tercet.cli.convert_head import HeadConversion, convert_head

    conversion = HeadConversion(
        source=options.source,
        file=Path(options.folder),
        compute_type=options.compute_type or "float32",
        mode=options.head_mode,
        labels=None if options.labels is None else Path(options.labels),
        encoder=options.encoder,
        force=options.force,
    )
    with licence_notes(quiet=options.quiet), _bar(options, "fetching") as on_progress:
        summary = convert_head(conversion, on_progress)
    if not options.quiet:
        print(summary)
    return exit_codes.OK


def _check_is_of_model(options: ConvertOptions) -> None:
    """Say what is meant where a head or its options were given, and a folder's name.

    Raises:
        OptionError: such a mixture.
    """
    from tercet.checkpoint.head_file import is_head_file

    way = f"name a file, {options.folder.rstrip('/')}.safetensors"
    if known_head(options.source) is not None or is_head_file(options.source):
        raise OptionError(f"{options.source} is a head, which is written as one file; {way}")
    for name in ("head_mode", "labels", "encoder"):
        if getattr(options, name) is not None:
            raise OptionError(f"--{name} is for heads, which are written as one file; {way}")


def _convert(options: ConvertOptions) -> int:
    # Late: --help and wrong command lines need none of it.
    from tercet.checkpoint import open_checkpoint
    from tercet.convert.conversion import Conversion, convert
    from tercet.hub import find_model, find_tokenizer
    from tercet.loading import adapted

    began_s = monotonic()
    conversion = Conversion(
        folder=Path(options.folder),
        to=options.to,
        compute_type=options.compute_type or "int8",
        force=options.force,
    )
    _check_is_of_model(options)
    windows = _calibration_windows(options)
    conversion.check_folder()
    with _bar(options, "fetching") as on_progress:
        place = find_model(options.source, revision=options.revision, on_progress=on_progress)
        checkpoint = adapted(open_checkpoint(place), options.adapter, on_progress=on_progress)
    tokenizer = checkpoint.tokenizer_file or find_tokenizer(checkpoint.geometry.vocab_size)
    statistics = None
    if windows:
        from tercet.convert.calibrate import measure

        with _bar(options, "measuring") as on_progress:
            statistics = measure(checkpoint, windows, on_progress=on_progress)
    with _bar(options, "converting") as on_progress:
        files = convert(
            checkpoint,
            conversion,
            name=Path(options.source).name,
            tokenizer_file=tokenizer,
            statistics=statistics,
            on_progress=on_progress,
        )
    if not options.quiet:
        print(_summary(options, files, monotonic() - began_s))
    return exit_codes.OK


def _calibration_windows(options: ConvertOptions) -> "Sequence[np.ndarray]":
    """The sound to measure with; () where none is asked for.

    Raises:
        OptionError: floats have nothing to calibrate.
        AudioError: a recording cannot be heard.
    """
    if not options.calibrate:
        return ()
    if options.compute_type not in (None, "int8"):
        raise OptionError(f"--calibrate has no effect with --compute_type {options.compute_type}")
    from tercet.cli.inputs import find
    from tercet.convert.calibrate import windows_of

    inputs, unusable = find(options.calibrate)
    if unusable:
        raise unusable[0].error
    return windows_of([entry.source for entry in inputs])


def _summary(options: ConvertOptions, files: dict[str, int], seconds: float) -> str:
    """`out: small in int8, 251.3 MB (model.safetensors 249.1 MB), 4 s`."""
    largest = sorted(files, key=lambda name: -files[name])[:3]
    shown = ", ".join(f"{name} {_size(files[name])}" for name in largest if files[name] > 5e6)
    parts = f" ({shown})" if shown else ""
    total = _size(sum(files.values()))
    name = Path(options.source).name
    compute_type = options.compute_type or "int8"
    return f"{options.folder}: {name} in {compute_type}, {total}{parts}, {seconds:.0f} s"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


@contextmanager
def _bar(options: ConvertOptions, what: str) -> Iterator[OnProgress]:
    """A progress bar on stderr, on a terminal only; it leaves no trace."""
    if options.quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # Results are written to stdout as they are: rich must not take it over.
    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
