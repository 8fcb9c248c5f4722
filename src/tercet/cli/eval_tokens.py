"""`tercet eval tokens`: what is left of speech behind a quantizer, and how steady its codes are."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli import eval_options as given
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.label_options import TextColumn
from tercet.errors import OptionError

if TYPE_CHECKING:
    from tercet.evaluate.tokens import TokenSettings

HELP = (
    "What is left of speech behind its codes: word error rates with and without them, use of the codebook, "
    "and how many codes change when noise is added. Rows need a text."
)
_NOISES = ("white", "babble")
_Tokens = Annotated[
    str | None,
    typer.Option(
        metavar="HEAD", help="The quantizer; the model's own if left out.", show_default=False
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
_Noise = Annotated[
    str,
    typer.Option(
        metavar="LIST", help="white, babble (speech of other rows), both, or none of them: none."
    ),
]
_Snr = Annotated[
    str, typer.Option("--snr_db", metavar="LIST", help="How far the speech is over the noise, dB.")
]
_Seed = Annotated[int, typer.Option(metavar="N", help="Fixes the noise; 0 or more.")]


def command(
    manifest: given.ManifestPath,
    *,
    model: given.Name = "base",
    adapter: given.Adapter = None,
    tokens: _Tokens = None,
    language: _Language = None,
    fallback: given.Fallback = False,
    noise: _Noise = "white,babble",
    snr_db: _Snr = "20,10,5,0",
    seed: _Seed = 0,
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
    settings: dict[str, object] = {"language": language, "fallback": fallback, "seed": seed}
    return partial(_evaluate, manifest, tokens, noise, snr_db, settings, choice)


def _evaluate(
    path: Path,
    tokens: str | None,
    noise: str,
    snr_db: str,
    settings: dict[str, object],
    choice: given.Choice,
) -> None:
    how = _settings(noise, snr_db, settings)
    given.need_word_errors()
    from tercet.evaluate.tokens import evaluate_tokens

    screen = EvalScreen(quiet=choice.quiet)
    manifest = choice.rows(path, screen)
    model = choice.open(tokens=tokens)
    with screen.stage("steps") as on_progress:
        report = evaluate_tokens(model, manifest, how, on_progress=on_progress)
    choice.show(report, {"manifest": str(path), "model": choice.model, "tokens": tokens})


def _settings(noise: str, snr_db: str, settings: dict[str, object]) -> "TokenSettings":
    from tercet.evaluate.tokens import TokenSettings

    names = tuple(dict.fromkeys(noise.split(",")))
    if names == ("none",):
        names = ()
    elif unknown := [name for name in names if name not in _NOISES]:
        raise OptionError(f"--noise {unknown[0]!r}: give white, babble, both with a comma, or none")
    if int(str(settings["seed"])) < 0:
        raise OptionError(f"--seed {settings['seed']}: give 0 or more")
    levels = given.numbers(snr_db, "--snr_db")
    return TokenSettings(noises=names, snrs_db=levels, **settings)  # type: ignore[arg-type]
