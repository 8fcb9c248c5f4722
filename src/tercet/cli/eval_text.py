"""`tercet eval text`: how well speech is written down, by one model or two."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli import eval_options as given
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.label_options import TextColumn
from tercet.cli.plots import check_free, check_plot
from tercet.errors import OptionError

if TYPE_CHECKING:
    from tercet.cli.eval_text_run import Asked
    from tercet.evaluate.text.hearing import TextSettings

HELP = (
    "How well speech is written down: errors of words and letters with intervals, repetitions, speed, by "
    "any field, by length, under noise; and whether one model is better than another. Rows need a text."
)
_NOISES = ("white", "babble")
_Compare = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="A B",
        help="Two models instead of one, or folders of --out, and a paired test.",
        show_default=False,
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Keep what is heard and the report here; the same command goes on after a stop.",
        show_default=False,
    ),
]
_Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Of all rows; each row's own, else the one that is heard, if left out.",
        show_default=False,
    ),
]
_Task = Annotated[
    str, typer.Option(metavar="TASK", help="transcribe, or translate (references are English).")
]
_Longform = Annotated[
    str,
    typer.Option(metavar="WAY", help="How long recordings are heard, as in tercet listen."),
]
_By = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="A table for each of these fields, as in speaker,domain.",
        show_default=False,
    ),
]
_Lengths = Annotated[
    str, typer.Option(metavar="LIST", help="Where classes of lengths end, in seconds.")
]
_Noise = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Also with noise: white, babble (speech of other rows), or both.",
        show_default=False,
    ),
]
_Snr = Annotated[
    str, typer.Option("--snr_db", metavar="LIST", help="How far the speech is over the noise, dB.")
]
_Seed = Annotated[int, typer.Option(metavar="N", help="Fixes the noise; 0 or more.")]
_Latency = Annotated[
    bool,
    typer.Option("--latency", help="Also time the first 256 rows, in batches of 1, 4 and 16."),
]
_Worst = Annotated[
    int, typer.Option(metavar="N", help="Show the N recordings with the most errors.")
]
_Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw error rates by noise: .svg or .png.", show_default=False
    ),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")]


def command(
    manifest: given.ManifestPath,
    *,
    model: given.Name = "base",
    adapter: given.Adapter = None,
    compare: _Compare = None,
    out: _Out = None,
    language: _Language = None,
    task: _Task = "transcribe",
    longform: _Longform = "parallel",
    fallback: given.Fallback = False,
    by: _By = None,
    lengths: _Lengths = "5,10,20,30",
    noise: _Noise = None,
    snr_db: _Snr = "20,10,5,0",
    seed: _Seed = 0,
    latency: _Latency = False,
    worst: _Worst = 0,
    plot: _Plot = None,
    force: _Force = False,
    device: given.Device = "auto",
    compute_type: given.ComputeType = "auto",
    engine: given.Engine = "auto",
    threads: given.Threads = None,
    where: given.Where = None,
    every: given.Every = 1,
    root: given.Root = None,
    skip_broken: given.SkipBroken = False,
    text_column: TextColumn = None,
    form: given.Format = "text",
    quiet: given.Quiet = False,
) -> Callable[[], None]:
    """What is to be done, from the words of the command line."""
    choice = given.Choice.of(locals())
    settings = partial(_settings, language, task, longform, fallback, noise, snr_db, seed)
    asked = partial(_asked, by, lengths, latency, worst, out, plot)
    return partial(_evaluate, manifest, choice, settings, asked, compare, force)


def _evaluate(
    path: Path,
    choice: given.Choice,
    settings_of: "Callable[[], TextSettings]",
    asked_of: "Callable[[], Asked]",
    compare: tuple[str, str] | None,
    force: bool,
) -> None:
    from tercet.cli.eval_text_run import TextRun

    settings, asked = settings_of(), asked_of()
    given.need_word_errors()
    if asked.plot is not None:
        if not settings.snrs_db:
            raise OptionError("--plot draws error rates by noise; give --noise, too")
        check_plot(asked.plot)
        check_free(asked.plot, force=force)
    screen = EvalScreen(quiet=choice.quiet)
    run = TextRun(path, choice, settings, asked, screen, choice.rows(path, screen))
    if compare is None:
        run.show({choice.model: run.report(choice.model, asked.out)})
    else:
        run.show(run.both(*compare))


def _asked(
    by: str | None,
    lengths: str,
    latency: bool,
    worst: int,
    out: Path | None,
    plot: Path | None,
) -> "Asked":
    from tercet.cli.eval_text_run import Asked

    if worst < 0:
        raise OptionError(f"--worst {worst}: give 0 or more")
    return Asked(
        by=() if by is None else tuple(by.split(",")),
        lengths_s=_lengths(lengths),
        has_latency=latency,
        worst=worst,
        out=out,
        plot=plot,
    )


def _settings(
    language: str | None,
    task: str,
    longform: str,
    fallback: bool,
    noise: str | None,
    snr_db: str,
    seed: int,
) -> "TextSettings":
    from tercet.evaluate.text.hearing import TextSettings
    from tercet.longform.settings import check_longform

    noises = () if noise is None else tuple(dict.fromkeys(noise.split(",")))
    if unknown := [name for name in noises if name not in _NOISES]:
        raise OptionError(f"--noise {unknown[0]!r}: give white, babble, or both with a comma")
    if seed < 0:
        raise OptionError(f"--seed {seed}: give 0 or more")
    if task not in ("transcribe", "translate"):
        raise OptionError(f"--task {task!r}: give transcribe or translate")
    check_longform(longform)
    levels = given.numbers(snr_db, "--snr_db")
    return TextSettings(
        language=language,
        task=task,
        fallback=fallback,
        longform=longform,
        noises=noises,  # type: ignore[arg-type]
        snrs_db=levels if noises else (),
        seed=seed,
    )


def _lengths(text: str) -> tuple[float, ...]:
    """Rising seconds.

    Raises:
        OptionError: one is no number, or does not rise.
    """
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or found[0] <= 0 or list(found) != sorted(set(found)):
        raise OptionError(f"--lengths {text!r}: give rising seconds with commas, as in 5,10,20,30")
    return found
