"""`tercet eval text`: how well speech is written down, by one model or two."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tercet.cli import eval_options as given
from tercet.cli.eval_progress import EvalScreen
from tercet.cli.plots import check_free, check_plot
from tercet.errors import DataError, OptionError
from tercet.results import SCHEMA

if TYPE_CHECKING:
    from tercet.dataset.manifests import Manifest, Row
    from tercet.evaluate.text.hearing import TextSettings
    from tercet.evaluate.text.journal import Heard
    from tercet.evaluate.text.latency import Latency
    from tercet.evaluate.text.report import TextReport

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
    form: given.Format = "text",
    quiet: given.Quiet = False,
) -> Callable[[], None]:
    """What is to be done, from the words of the command line."""
    choice = given.Choice.of(locals())
    how = {"language": language, "task": task, "longform": longform, "fallback": fallback}
    wanted = {
        "by": [] if by is None else by.split(","),
        "lengths": lengths,
        "latency": latency,
        "worst": worst,
    }
    heard = {"noise": noise, "snr_db": snr_db, "seed": seed, **how}
    places = {"compare": compare, "out": out, "plot": plot, "force": force}
    return partial(_evaluate, manifest, choice, heard, wanted, places)


def _evaluate(
    path: Path,
    choice: given.Choice,
    heard: Mapping[str, Any],
    wanted: Mapping[str, Any],
    places: Mapping[str, Any],
) -> None:
    settings = _settings(heard)
    lengths = _lengths(wanted["lengths"])
    given.need_word_errors()
    if places["plot"] is not None:
        if not settings.snrs_db:
            raise OptionError("--plot draws error rates by noise; give --noise, too")
        check_plot(places["plot"])
        check_free(places["plot"], force=places["force"])
    screen = EvalScreen(quiet=choice.quiet)
    manifest = choice.rows(path, screen)
    run = _Run(path, choice, settings, wanted, lengths, screen, manifest)
    if places["compare"] is None:
        reports = {choice.model: run.report(choice.model, places["out"])}
    else:
        reports = run.both(*places["compare"], out=places["out"])
    run.show(reports, places)


class _Run:
    """One manifest, one model or two."""

    def __init__(
        self,
        path: Path,
        choice: given.Choice,
        settings: "TextSettings",
        wanted: Mapping[str, Any],
        lengths_s: Sequence[float],
        screen: EvalScreen,
        manifest: "Manifest",
    ) -> None:
        from tercet.evaluate.text.hearing import rows_with_text

        self._path, self._choice, self._settings, self._wanted = path, choice, settings, wanted
        self._lengths_s, self._screen = lengths_s, screen
        self._rows = rows_with_text(manifest)
        self._left_out = len(manifest.rows) - len(self._rows)
        _check_fields(path, self._rows, wanted["by"])
        if self._left_out:
            screen.note(f"{path}: {self._left_out} rows without a text; they are left out")

    def both(self, *names: str, out: Path | None) -> "dict[str, TextReport]":
        """Reports of two models, or of what was heard earlier."""
        first, second = names
        if first == second:
            raise OptionError(f"--compare names {first} twice; give two models or folders")
        folders = [None, None] if out is None else [out / "first", out / "second"]
        return {
            name: self.report(name, folder) for name, folder in zip(names, folders, strict=True)
        }

    def report(self, name: str, folder: Path | None) -> "TextReport":
        """Hear with a model, or read what a folder of `--out` has."""
        from tercet.evaluate.text.journal import is_journal
        from tercet.evaluate.text.report import report_of

        heard: Sequence[Heard]
        latency: tuple[Latency, ...] = ()
        if folder != Path(name) and is_journal(Path(name)):
            heard, folder = self._kept(Path(name)), None  # its report is there
        else:
            heard, latency = self._hear(name, folder)
        report = report_of(heard, by=self._wanted["by"], lengths_s=self._lengths_s, latency=latency)
        if folder is not None:
            _write(folder, self._told(name), report)
        return report

    def _hear(
        self, name: str, folder: Path | None
    ) -> "tuple[Sequence[Heard], tuple[Latency, ...]]":
        from dataclasses import asdict, replace

        from tercet.evaluate.text.hearing import hear_texts
        from tercet.evaluate.text.journal import Journal
        from tercet.evaluate.text.latency import measure_latency

        choice = replace(self._choice, model=name)
        facts = {"model": name, "compute_type": choice.compute_type, **asdict(self._settings)}
        journal = Journal(folder, facts | {"by": self._wanted["by"]})
        model = choice.open()
        with self._screen.stage(f"{name}: recordings") as on_progress:
            heard = hear_texts(
                model,
                self._rows,
                self._settings,
                journal,
                fields=self._wanted["by"],
                on_progress=on_progress,
            )
        latency: tuple[Latency, ...] = ()
        if self._wanted["latency"]:
            with self._screen.stage(f"{name}: batches") as on_progress:
                latency = measure_latency(
                    model, self._rows, language=self._settings.language, on_progress=on_progress
                )
        return heard, latency

    def _kept(self, folder: Path) -> "list[Heard]":
        """What an earlier run heard of these rows."""
        from tercet.evaluate.text.hearing import key_of
        from tercet.evaluate.text.journal import read_journal

        _, heard = read_journal(folder)
        keys = {key_of(row) for row in self._rows}
        found = [each for each in heard if each.noise or each.key in keys]
        if missing := keys - {each.key for each in found}:
            raise DataError(
                f"{folder}: {len(missing)} of {len(keys)} rows of {self._path} were not heard there; "
                "hear them with --out, or choose rows with --where"
            )
        return found

    def _told(self, name: str) -> dict[str, Any]:
        from dataclasses import asdict

        return {"manifest": str(self._path), "model": name, "settings": asdict(self._settings)}

    def show(self, reports: "Mapping[str, TextReport]", places: Mapping[str, Any]) -> None:
        """Print, draw and keep what came out."""
        from tercet.cli.eval_plot import draw_noise
        from tercet.evaluate.text.comparison import compare
        from tercet.evaluate.text.report import comparison_json, comparison_lines

        names = tuple(reports)
        test = None
        if len(names) == 2:
            one, two = (reports[name].written for name in names)
            test = compare(one, two, names=(names[0], names[1]))
        if self._choice.form == "json":
            whole = [{**self._told(name), **report.to_json()} for name, report in reports.items()]
            told: dict[str, Any] = whole[0] if test is None else {"models": whole}
            if test is not None:
                told["comparison"] = comparison_json((names[0], names[1]), test)
            print(json.dumps({"schema": SCHEMA, **told}))
        else:
            for name, report in reports.items():
                if test is not None:
                    print(f"{name}\n")
                print("\n".join([*report.lines(), *_worst_lines(report, self._wanted["worst"])]))
                if test is not None:
                    print()
            if test is not None:
                print("\n".join(comparison_lines((names[0], names[1]), test)))
        if places["plot"] is not None:
            draw_noise(reports, places["plot"])


def _settings(heard: Mapping[str, Any]) -> "TextSettings":
    from tercet.evaluate.text.hearing import TextSettings
    from tercet.longform.settings import check_longform

    words = () if heard["noise"] is None else tuple(dict.fromkeys(heard["noise"].split(",")))
    if unknown := [name for name in words if name not in _NOISES]:
        raise OptionError(f"--noise {unknown[0]!r}: give white, babble, or both with a comma")
    if heard["seed"] < 0:
        raise OptionError(f"--seed {heard['seed']}: give 0 or more")
    if heard["task"] not in ("transcribe", "translate"):
        raise OptionError(f"--task {heard['task']!r}: give transcribe or translate")
    check_longform(heard["longform"])
    levels = given.numbers(heard["snr_db"], "--snr_db")
    return TextSettings(
        language=heard["language"],
        task=heard["task"],
        fallback=heard["fallback"],
        longform=heard["longform"],
        noises=words,
        snrs_db=levels if words else (),
        seed=heard["seed"],
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


def _check_fields(path: Path, rows: "Sequence[Row]", fields: Sequence[str]) -> None:
    """Whether the fields of `--by` are there.

    Raises:
        DataError: no row has one.
    """
    from tercet.train.sets import value_of

    for name in fields:
        if not any(str(value_of(row, name)) for row in rows):
            there = sorted({field for row in rows[:100] for field in row.extra})
            more = f"; further columns are {', '.join(there)}" if there else ""
            raise DataError(f"{path}: no row has a {name!r} for --by{more}")


def _worst_lines(report: "TextReport", n: int) -> list[str]:
    from tercet.evaluate.text.report import worst

    if n < 0:
        raise OptionError(f"--worst {n}: give 0 or more")
    lines = []
    for errors, each in worst(report.written, n):
        lines += [
            "",
            f"{each.key.split('|')[0]}: {errors} errors",
            f"  said   {each.reference}",
            f"  heard  {each.text}",
        ]
    return lines


def _write(folder: Path, told: Mapping[str, Any], report: "TextReport") -> None:
    """`report.json` and `report.md` in a folder of `--out`."""
    from tercet.dataset.whole_file import whole_file

    whole = json.dumps({"schema": SCHEMA, **told, **report.to_json()}, indent=1, ensure_ascii=False)
    table = "\n".join(["```text", *report.lines(), "```"])
    for name, text in (("report.json", whole), ("report.md", f"# {told['model']}\n\n{table}")):
        with whole_file(folder / name) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
