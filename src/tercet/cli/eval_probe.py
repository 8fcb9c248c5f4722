"""`tercet eval probe`: what each layer of the encoder knows of sounds, and what sounds do to words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tercet.cli import eval_options as given
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.plots import check_free, check_plot
from tercet.errors import OptionError

if TYPE_CHECKING:
    from tercet.evaluate.probe_report import ProbeReport

HELP = (
    "Whisper-AT's finding: a linear probe on each layer of the encoder, which layer is best for which sound, "
    "and with --speech the word error rate and the probe's accuracy at each noise level, class by class. "
    "Rows need one label and a fold."
)
_By = Annotated[
    str, typer.Option(metavar="FIELD", help="The field that names a row's fold or split.")
]
_HeldOut = Annotated[
    str | None,
    typer.Option(
        "--held_out",
        metavar="LIST",
        help="Folds that are named by a probe of all others; each in turn if left out.",
        show_default=False,
    ),
]
_L2 = Annotated[
    float, typer.Option("--l2", metavar="X", help="How much large weights cost the probe.")
]
_Speech = Annotated[
    Path | None,
    typer.Option(metavar="MANIFEST", help="Speech to put the sounds into.", show_default=False),
]
_SpeechWhere = Annotated[
    list[str] | None,
    typer.Option(
        "--speech_where",
        metavar="FIELD=VALUE",
        help="Rows of the speech, as --where; may be repeated.",
        show_default=False,
    ),
]
_Utterances = Annotated[
    int, typer.Option(metavar="N", help="Rows of the speech, the first by path.")
]
_Snr = Annotated[
    str, typer.Option("--snr_db", metavar="LIST", help="How far the speech is over the sound, dB.")
]
_Language = Annotated[str, typer.Option(metavar="CODE", help="Of the speech.")]
_Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw the figures: .svg or .png.", show_default=False),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probing:
    """The options of this command alone."""

    by: str
    held_out: tuple[str, ...]
    l2: float
    speech: Path | None
    speech_where: Sequence[str]
    utterances: int
    snr_db: str
    language: str
    fallback: bool
    plot: Path | None
    force: bool


def command(
    manifest: given.ManifestPath,
    *,
    model: given.Name = "base",
    adapter: given.Adapter = None,
    by: _By = "fold",
    held_out: _HeldOut = None,
    l2: _L2 = 0.01,
    speech: _Speech = None,
    speech_where: _SpeechWhere = None,
    utterances: _Utterances = 40,
    snr_db: _Snr = "20,15,10,5,0,-5,-10,-15,-20",
    language: _Language = "en",
    fallback: given.Fallback = False,
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
    form: given.Format = "text",
    quiet: given.Quiet = False,
) -> Callable[[], None]:
    """What is to be done, from the words of the command line."""
    choice = given.Choice.of(locals())
    folds = () if held_out is None else tuple(word.strip() for word in held_out.split(","))
    probing = _Probing(
        by=by, held_out=folds, l2=l2, speech=speech, speech_where=speech_where or (),
        utterances=utterances, snr_db=snr_db, language=language, fallback=fallback, plot=plot,
        force=force,
    )  # fmt: skip
    return partial(_evaluate, manifest, probing, choice)


def _evaluate(path: Path, probing: _Probing, choice: given.Choice) -> None:
    _check(probing)
    screen = EvalScreen(quiet=choice.quiet)
    report = _probe(path, probing, choice, screen)
    if probing.plot is not None:
        from tercet.cli.eval_plot import draw_probe

        draw_probe(report, probing.plot)
    choice.show(report, {"manifest": str(path), "model": choice.model})


def _check(probing: _Probing) -> None:
    """What can be found out before anything is heard.

    Raises:
        OptionError: a value is not allowed, or something is not installed.
        OutputError: a picture is there.
    """
    given.check_counts(utterances=probing.utterances)
    if not 0 < probing.l2 < float("inf"):
        raise OptionError(f"--l2 {probing.l2:g}: give a number over 0, such as 0.01")
    if probing.speech is not None:
        given.numbers(probing.snr_db, "--snr_db")
        given.need_word_errors()
    elif probing.speech_where:
        raise OptionError("--speech_where chooses rows of --speech, which is not given")
    if probing.plot is not None:
        check_plot(probing.plot)
        check_free(probing.plot, force=probing.force)


def _probe(
    path: Path, probing: _Probing, choice: given.Choice, screen: EvalScreen
) -> "ProbeReport":
    from tercet.evaluate import tapped_model
    from tercet.evaluate.layers import hear_sounds, probe_layers
    from tercet.evaluate.noisy_speech import NoisySettings, hear_noisy_speech
    from tercet.evaluate.probe_report import ProbeReport

    manifest = choice.rows(path, screen)
    speech = None
    if probing.speech is not None:
        speech = given.rows_of(probing.speech, probing.speech_where, choice, screen)
    with choice.opening() as arguments:
        model, taps_of = tapped_model.open_tapped(choice.model, **arguments)
    with screen.stage("sounds") as on_progress:
        sounds = hear_sounds(taps_of, manifest, by=probing.by, on_progress=on_progress)
    with screen.stage("probes") as on_progress:
        layers = probe_layers(
            sounds, held_out=probing.held_out, l2=probing.l2, on_progress=on_progress
        )
    if speech is None:
        return ProbeReport(layers=layers)
    settings = NoisySettings(
        utterances=probing.utterances,
        snrs_db=given.numbers(probing.snr_db, "--snr_db"),
        language=probing.language,
        fallback=probing.fallback,
    )
    with screen.stage("noisy speech") as on_progress:
        noisy = hear_noisy_speech(
            model, taps_of, speech, sounds, layers, settings, on_progress=on_progress
        )
    return ProbeReport(layers=layers, noisy=noisy)
