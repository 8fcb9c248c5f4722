"""What a run says of itself: how its draws divide, and what each set and language has won or lost."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tercet.text.normalizer import is_unspaced
from tercet.train.loop import RunResult
from tercet.train.run_folder import RunFolder
from tercet.train.text.held_out import HeldOut, Part
from tercet.train.text.material import Split

_TEACHER = "teacher_"  # before the names of figures of what the teacher writes
_FIGURES = ("loss", "agreement", "wer", "cer")
_RATES = ("agreement", "wer", "cer")  # in percent
_LEGEND = """
`wer` and `cer` are of greedy text without timestamps against references (else the teacher's text), of words
and letters, normalised; in languages without spaces a letter is a word. Losses are per token; `agreement` is
the share of tokens on which student and teacher choose alike when both are given the label's text so far.
"""


def mix_of(splits: Sequence[Split]) -> list[dict[str, Any]]:
    """How the draws of training divide: for each set its windows, hours, share and languages."""
    total = sum(each.weight for each in splits)
    return [
        {
            "set": each.name,
            "windows": len(each.train),
            "hours": sum(lesson.label.duration_s for lesson in each.train) / 3600,
            "share": each.weight / total,
            "languages": dict(Counter(lesson.label.language for lesson in each.train)),
            "held_out": len(each.held_out),
        }
        for each in splits
    ]


def mix_notes(splits: Sequence[Split]) -> list[str]:
    """The same, a line for each set."""
    lines = []
    for row in mix_of(splits):
        languages = row["languages"]
        several = len(languages) > 1
        told = ", ".join(f"{code} {n}" if several else code for code, n in languages.items())
        lines.append(
            f"{row['set']}: {row['windows']} windows, {row['hours']:.3g} h, "
            f"{100 * row['share']:.1f} % of the draws, {told}; {row['held_out']} held out"
        )
    return lines


def before_and_after(held_out: HeldOut, result: RunResult) -> dict[str, Any]:
    """Figures of the student before its first step and after training, and of what its teacher writes.

    Returns:
        `all`, `sets` and `languages` (by name): of each `windows`, `written` (that are written down),
        `before`, `after` and `teacher`. What was not measured is not there.
    """
    rows = [(part, _row(part, result)) for part in held_out.parts()]
    return {
        "all": rows[0][1],
        "sets": {part.name: row for part, row in rows if part.kind == "set"},
        "languages": {part.name: row for part, row in rows if part.kind == "language"},
    }


def closing_notes(held_out: HeldOut, result: RunResult) -> list[str]:
    """In short, a line for all and for each set and language that is told apart."""
    lines = []
    for part in _told_apart(held_out):
        row = _row(part, result)
        is_letters = part.kind == "language" and is_unspaced(part.name)
        figure = "loss" if "wer" not in row["after"] else "cer" if is_letters else "wer"
        told = [
            f"{_shown(figure, row[when][figure])} {when}"
            for when in ("before", "after", "teacher")
            if figure in row[when]
        ]
        lines.append(f"{_title(part)}: {figure} {', '.join(told)}")
    return lines


def write_report(
    folder: Path,
    name: str,
    facts: Mapping[str, Any],
    result: RunResult,
    held_out: HeldOut,
    splits: Sequence[Split],
) -> None:
    """Write report.json and report.md.

    Args:
        folder: The run's.
        name: The recipe's.
        facts: What else there is to say: `decoder_layers`, `teacher` and the like.
        result: How the run ended.
        held_out: Validation's windows.
        splits: The sets.

    Raises:
        OutputError: the disk is full.
    """
    told = {
        **facts,
        "steps": result.step,
        "weights": result.weights,
        "validation": dict(result.metrics),
        "held_out": before_and_after(held_out, result),
        "mix": mix_of(splits),
    }
    run_folder = RunFolder(folder)
    run_folder.write_text("report.json", json.dumps(told, indent=1) + "\n")
    rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in result.metrics.items())
    mix = "".join(f"- {line}\n" for line in mix_notes(splits))
    run_folder.write_text(
        "report.md",
        f"# {name}\n\n{facts['decoder_layers']} decoder layers, {result.step} steps, {result.weights} "
        f"weights.\n\n| held out | |\n| --- | --- |\n{rows}\n## Before and after\n\n"
        f"{_table(held_out, result)}{_LEGEND}\n## The mix\n\n{mix}",
    )


def _table(held_out: HeldOut, result: RunResult) -> str:
    """Markdown: a row for each part; columns that would be empty are left out."""
    parts = _told_apart(held_out)
    rows = [_row(part, result) for part in parts]
    columns = [
        (figure, when)
        for figure in _FIGURES
        for when in ("before", "after", "teacher")
        if any(figure in row[when] for row in rows)
    ]
    titles = ["held out", "windows", "written", *(f"{figure} {when}" for figure, when in columns)]
    lines = [titles, ["---"] * len(titles)]
    for part, row in zip(parts, rows, strict=True):
        cells = [
            _shown(figure, row[when][figure]) if figure in row[when] else ""
            for figure, when in columns
        ]
        lines.append([_title(part), str(part.windows), str(part.written), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(part: Part, result: RunResult) -> dict[str, Any]:
    after = {**result.metrics, **result.parts}
    teacher = {
        name.removeprefix(_TEACHER): value
        for name, value in result.before.items()
        if name.startswith(_TEACHER)
    }
    sources = {"before": result.before, "after": after, "teacher": teacher}
    found: dict[str, Any] = {"windows": part.windows, "written": part.written}
    for when, source in sources.items():
        named = {figure: source.get(f"{figure}{part.suffix}") for figure in _FIGURES}
        found[when] = {figure: value for figure, value in named.items() if value is not None}
    return found


def _told_apart(held_out: HeldOut) -> list[Part]:
    return [part for part in held_out.parts() if part.kind == "all" or part.suffix]


def _title(part: Part) -> str:
    return "all" if part.kind == "all" else f"{part.kind} {part.name}"


def _shown(figure: str, value: float) -> str:
    return f"{100 * value:.1f} %" if figure in _RATES else f"{value:.4g}"
