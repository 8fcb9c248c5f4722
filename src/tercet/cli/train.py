"""`tercet train`: train what reads an encoder from a recipe, and go on with a run that was stopped.

The outcome goes to standard output, everything else to standard error. Torch is imported by what is
called for, late.
"""

import importlib
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli import exit_codes
from tercet.cli.chosen import Program, carried_out
from tercet.cli.ending import TERMINATED, ending_in_order
from tercet.errors import EngineError, ModelNotFoundError, OptionError

if TYPE_CHECKING:
    from tercet.train.loop import RunResult

_PROGRAM = "tercet train"
_LAST = "checkpoints/last.ckpt"  # in a run's folder: what --resume starts from
_NEEDED = ("torch", "lightning", "torchmetrics", "vector_quantize_pytorch")
# What can be trained -> its module, which has `run(recipe, folder, *, resume, overrides, watcher)`.
_KINDS = {
    "tags": ("tercet.train.tags.running", "Train a tag head: which sounds are heard, and when."),
    "tokens": (
        "tercet.train.tokens.running",
        "Train a quantizer: speech as tokens for language models.",
    ),
    "text": (
        "tercet.train.text.running",
        "Train a text decoder: distil it from labels, or fine-tune.",
    ),
    "draft": (
        "tercet.train.draft.running",
        "Train a draft: it guesses a decoder's text, which is written sooner then.",
    ),
}
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Train what reads a frozen encoder: tag heads, quantizers, text decoders and drafts.",
        "RECIPE is a TOML file; recipes/ has examples, docs/train.md every key. A run's folder gets the "
        "recipe, figures, checkpoints and, at its end, the head or the model.",
        "  tercet train tags recipes/tags/base.toml --out runs/tags\n"
        "  tercet train tags recipes/tags/base.toml --out runs/tags --resume\n"
        "  tercet train tokens recipes/tokens/base.toml --out runs/tokens\n"
        "  tercet train tags recipes/tags/esc50.toml --set loop.lr=3e-4 --max_minutes 30",
    )
)
_EPILOG = (
    "Exit code: 0 (also when --max_minutes is over), 1 (it failed; what was saved is kept), 2 (usage), "
    "130 (Ctrl-C) and 143 (SIGTERM): saved, to be resumed."
)
_Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", show_default=False)]
_Out = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="The run's folder; runs/NAME of the recipe if left out.",
        show_default=False,
    ),
]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")]
_MaxMinutes = Annotated[
    float | None,
    typer.Option(
        "--max_minutes", metavar="N", help="Save and stop after so long.", show_default=False
    ),
]
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the recipe, as in loop.lr=1e-4; may be repeated.",
        show_default=False,
    ),
]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes: errors only.")]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    return carried_out(Program(name=_PROGRAM, app=_app, usage_errors=(ModelNotFoundError,)), argv)


def _app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        help=_HELP,
        epilog=_EPILOG,
        context_settings=settings,
    )

    def training(kind: str, text: str) -> None:
        @app.command(name=kind, help=text, context_settings=settings)
        def _(
            recipe: _Recipe,
            *,
            out: _Out = None,
            resume: _Resume = False,
            max_minutes: _MaxMinutes = None,
            changes: _Set = None,
            quiet: _Quiet = False,
        ) -> Callable[[], int]:
            overrides = list(changes or ())
            if max_minutes is not None:
                overrides.append(f"loop.max_minutes={max_minutes}")
            folder = out or Path("runs") / recipe.stem
            return partial(_train, kind, recipe, folder, overrides, resume, quiet)

    for kind, (_, text) in _KINDS.items():
        training(kind, text)
    return app


def _train(
    kind: str, recipe: Path, folder: Path, overrides: Sequence[str], resume: bool, quiet: bool
) -> int:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise EngineError(f"training needs {', '.join(missing)}: pip install 'tercet[train]'")
    if not recipe.is_file():
        raise OptionError(f"{recipe}: no such recipe; check the path")
    from tercet.cli.train_progress import TrainScreen

    trainer = importlib.import_module(_KINDS[kind][0])
    try:
        with ending_in_order(), TrainScreen(quiet=quiet) as screen:
            result: RunResult = trainer.run(
                recipe, folder, resume=resume, overrides=tuple(overrides), watcher=screen
            )
    except KeyboardInterrupt:  # while it hears, or a second one
        again = _again(kind, recipe, folder, overrides, resume=(folder / _LAST).exists())
        raise KeyboardInterrupt(f"stopped; what was finished is kept; to go on: {again}") from None
    from tercet.train.devices import is_first_process

    if not is_first_process():  # one of several devices; the first speaks
        return exit_codes.OK
    if result.is_finished:
        figures = "".join(f"  {name} {value:.4g}" for name, value in result.metrics.items())
        print(f"{folder}: {result.step} steps, {result.weights} weights{figures}")
        return exit_codes.OK
    command = _again(kind, recipe, folder, overrides, resume=True)
    line = f"saved at step {result.step} of {result.total_steps}; to go on: {command}"
    if result.stopped == "interrupted":
        raise KeyboardInterrupt(line)
    print(f"{_PROGRAM}: {line}", file=sys.stderr)
    return TERMINATED if result.stopped == "terminated" else exit_codes.OK


def _again(kind: str, recipe: Path, folder: Path, overrides: Sequence[str], *, resume: bool) -> str:
    """The command that goes on."""
    words = ["tercet", "train", kind, str(recipe), "--out", str(folder)]
    changes = [word for each in overrides for word in ("--set", each) if "max_minutes=" not in each]
    return shlex.join([*words, *(["--resume"] if resume else []), *changes])
