"""What `tercet eval text` does: hears with one model or two, prints, keeps and draws what came out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercet.cli import eval_options as given
from tercet.cli.eval_progress import EvalScreen
from tercet.errors import DataError, OptionError
from tercet.results import SCHEMA

if TYPE_CHECKING:
    from tercet.dataset.manifests import Manifest, Row
    from tercet.evaluate.text.hearing import TextSettings
    from tercet.evaluate.text.journal import Heard
    from tercet.evaluate.text.latency import Latency
    from tercet.evaluate.text.report import TextReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be told, kept and drawn of what is heard."""

    by: tuple[str, ...]  # fields of rows
    lengths_s: tuple[float, ...]  # where classes of lengths end
    has_latency: bool
    worst: int
    out: Path | None
    plot: Path | None


class TextRun:
    """One manifest, one model or two."""

    def __init__(
        self,
        path: Path,
        choice: given.Choice,
        settings: "TextSettings",
        asked: Asked,
        screen: EvalScreen,
        manifest: "Manifest",
    ) -> None:
        """Take the rows that can be compared with something.

        Raises:
            DataError: there are none, or none has a field that was asked for.
        """
        from tercet.evaluate.text.hearing import rows_with_text

        self._path, self._choice, self._settings = path, choice, settings
        self._asked, self._screen = asked, screen
        self._rows = rows_with_text(manifest)
        _check_fields(path, self._rows, asked.by)
        if left_out := len(manifest.rows) - len(self._rows):
            screen.note(f"{path}: {left_out} rows without a text; they are left out")

    def both(self, first: str, second: str) -> "dict[str, TextReport]":
        """Reports of two models, or of what was heard earlier."""
        if first == second:
            raise OptionError(f"--compare names {first} twice; give two models or folders")
        out = self._asked.out
        folders = [None, None] if out is None else [out / "first", out / "second"]
        names = (first, second)
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
        report = report_of(
            heard, by=self._asked.by, lengths_s=self._asked.lengths_s, latency=latency
        )
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
        from tercet.hub.adapters import adapter_content

        choice = replace(self._choice, model=name)
        facts = {"model": name, "compute_type": choice.compute_type, **asdict(self._settings)}
        model = choice.open()
        if folder is not None:  # a model that was trained on has its old name
            facts |= {"by": self._asked.by, "weights": weights_of(name, choice.adapter)}
            if choice.adapter is not None:
                facts |= {"adapter": adapter_content(choice.adapter, name)}
        journal = Journal(folder, facts)
        with self._screen.stage(f"{name}: recordings") as on_progress:
            heard = hear_texts(
                model,
                self._rows,
                self._settings,
                journal,
                fields=self._asked.by,
                on_progress=on_progress,
            )
        latency: tuple[Latency, ...] = ()
        if self._asked.has_latency:
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

        adapter = self._choice.adapter
        named = {"model": name} if adapter is None else {"model": name, "adapter": adapter}
        return {"manifest": str(self._path), **named, "settings": asdict(self._settings)}

    def show(self, reports: "Mapping[str, TextReport]") -> None:
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
                print("\n".join([*report.lines(), *_worst_lines(report, self._asked.worst)]))
                if test is not None:
                    print()
            if test is not None:
                print("\n".join(comparison_lines((names[0], names[1]), test)))
        if self._asked.plot is not None:
            draw_noise(reports, self._asked.plot)


def weights_of(name: str, adapter: str | None = None) -> str:
    """What tells a model, with its adapter merged, from another one of the same name.

    Raises:
        ModelError: it cannot be found or opened.
    """
    from tercet.checkpoint import open_checkpoint
    from tercet.convert.fingerprint import decoder_digest, encoder_digest
    from tercet.hub import find_model
    from tercet.loading import adapted

    checkpoint = adapted(open_checkpoint(find_model(name)), adapter)
    return f"{encoder_digest(checkpoint)[:16]}-{decoder_digest(checkpoint)}"


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
    """`report.json` and `report.md` in a folder of `--out`.

    Raises:
        OutputError: the disk is full; what was heard is kept.
    """
    from tercet.dataset.whole_file import whole_file
    from tercet.evaluate.text.journal import unwritable

    whole = json.dumps({"schema": SCHEMA, **told, **report.to_json()}, indent=1, ensure_ascii=False)
    table = "\n".join(["```text", *report.lines(), "```"])
    for name, text in (("report.json", whole), ("report.md", f"# {told['model']}\n\n{table}")):
        try:
            with whole_file(folder / name) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise unwritable(folder, error) from None
