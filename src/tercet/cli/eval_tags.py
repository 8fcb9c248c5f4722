"""`tercet eval tags`: how well a tag head hears the sounds of a manifest's recordings."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from tercet.cli import eval_options as given
from tercet.cli.eval_progress import EvalScreen
from tercet.errors import OptionError

HELP = (
    "How well sounds are heard: AP, AUC and d-prime by label, accuracy of clips with one label, F1 and "
    "onset errors of events. Rows need labels, events ([start_s, end_s, label]), or both; a row with a text "
    "alone is speech."
)
ClipScore = Literal["mean", "max"]
_Tags = Annotated[
    str | None,
    typer.Option(
        metavar="HEAD", help="The tag head; the model's own if left out.", show_default=False
    ),
]
_Collar = Annotated[
    float,
    typer.Option("--collar_s", metavar="S", help="How far a found onset may lie from a true one."),
]
_ClipScore = Annotated[
    ClipScore,
    typer.Option(
        "--clip_score", metavar="mean|max", help="A clip's score: its frames' mean, or the highest."
    ),
]
_Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="From which score events begin; the head's if left out.",
        show_default=False,
    ),
]


def command(
    manifest: given.ManifestPath,
    *,
    model: given.Name = "base",
    adapter: given.Adapter = None,
    tags: _Tags = None,
    collar_s: _Collar = 1.0,
    clip_score: _ClipScore = "mean",
    threshold: _Threshold = None,
    device: given.Device = "auto",
    compute_type: given.ComputeType = "auto",
    engine: given.Engine = "auto",
    threads: given.Threads = None,
    where: given.Where = None,
    every: given.Every = 1,
    root: given.Root = None,
    skip_broken: given.SkipBroken = False,
    form: given.Format = "text",
    quiet: given.Quiet = False,
) -> Callable[[], None]:
    """What is to be done, from the words of the command line."""
    choice = given.Choice.of(locals())
    return partial(_evaluate, manifest, tags, collar_s, clip_score, threshold, choice)


def _evaluate(
    path: Path,
    tags: str | None,
    collar_s: float,
    clip_score: ClipScore,
    threshold: float | None,
    choice: given.Choice,
) -> None:
    if not 0 <= collar_s < float("inf"):
        raise OptionError(f"--collar_s {collar_s:g}: give 0 or more seconds")
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionError(f"--threshold {threshold:g}: give a number from 0 to 1")
    from tercet.evaluate.tags import evaluate_tags

    screen = EvalScreen(quiet=choice.quiet)
    manifest = choice.rows(path, screen)
    model = choice.open(tags=tags)
    options = {} if threshold is None else {"threshold": threshold}
    with screen.stage("recordings") as on_progress:
        report = evaluate_tags(
            model,
            manifest,
            collar_s=collar_s,
            clip_score=clip_score,
            on_progress=on_progress,
            **options,
        )
    choice.show(report, {"manifest": str(path), "model": choice.model, "tags": tags})
