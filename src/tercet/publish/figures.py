"""The figures in a card: error rates with intervals, student beside teacher, and how they compare."""

from collections.abc import Sequence

from tercet.publish.facts import Facts
from tercet.publish.text_reports import Comparison, Measured, SystemFigures

_UNITS = {
    "wer": "word error rate",
    "cer": "letter error rate",
    "orthographic_wer": "word error rate as written",
    "orthographic_cer": "letter error rate as written",
}


def figure_lines(facts: Facts) -> list[str]:
    """Tables of what was measured, one for each set of recordings; [] where nothing was."""
    systems = [each for report in facts.reports for each in report.systems]
    lines: list[str] = []
    for data in dict.fromkeys(each.data for each in systems):
        lines += _table(facts, data, [each for each in systems if each.data == data])
    compared = [each for report in facts.reports for each in report.comparisons]
    lines += [_compared(facts, each) for each in compared]
    if compared:
        lines.append("")
    if lines:
        lines.append(
            "Error rates in percent, of all words (letters) of the recordings together, after Whisper's "
            "normaliser unless it says as written; in brackets, where 95 of 100 such sets of recordings "
            "would lie (bootstrap over utterances)."
        )
    return lines


def validation_lines(facts: Facts) -> list[str]:
    """What the run itself measured on held-out windows; [] where there is nothing."""
    run = facts.run
    if run is None or not run.validation or not run.is_of_text:
        return []
    rows = "".join(f"\n| {name} | {value:.4g} |" for name, value in run.validation.items())
    return [
        f"Held-out windows, at the end of training:\n\n| figure | value |\n| --- | --- |{rows}",
        "",
        "`wer` and `cer` are of greedy text, as shares; losses are per token; `agreement` is the share of "
        "tokens on which student and teacher choose alike.",
    ]


def _table(facts: Facts, data: str, systems: Sequence[SystemFigures]) -> list[str]:
    """Systems as columns, the student first and its teacher behind it."""
    ordered = sorted(
        systems, key=lambda each: (not facts.is_student(each), not facts.is_teacher(each))
    )
    names = [_name(facts, each) for each in ordered]
    rows = [
        (told, [_rate(each.rates.get(unit)) for each in ordered]) for unit, told in _UNITS.items()
    ]
    repeats = [each.repeats_per_1000_words for each in ordered]
    cells = ["" if value is None else f"{value:.3g}" for value in repeats]
    rows.append(("repeats in 1000 words", cells))
    counted = next((each.utterances for each in ordered if each.utterances is not None), None)
    several = "" if counted is None else f", {counted} utterances"
    return [
        f"| {_safe(data)}{several} | {' | '.join(names)} |",
        "| --- |" + " --- |" * len(names),
        *(f"| {told} | {' | '.join(cells)} |" for told, cells in rows if any(cells)),
        "",
    ]


def _compared(facts: Facts, each: Comparison) -> str:
    first, second = (_named(facts, name) for name in (each.first, each.second))
    points = 100 * each.difference
    way = "fewer" if points < 0 else "more"
    ends = ""
    if each.low is not None and each.high is not None:
        ends = f" [{100 * each.low:+.2f}, {100 * each.high:+.2f}]"
    return (
        f"{first} against {second} over the same utterances ({_UNITS[each.unit]}): {abs(points):.2f} points "
        f"{way}{ends}, p = {each.p_value:.3g} (paired bootstrap)."
    )


def _rate(measured: Measured | None) -> str:
    if measured is None:
        return ""
    if measured.low is None or measured.high is None:
        return f"{100 * measured.rate:.2f}"
    return f"{100 * measured.rate:.2f} [{100 * measured.low:.2f}, {100 * measured.high:.2f}]"


def _name(facts: Facts, system: SystemFigures) -> str:
    if facts.is_student(system):
        return f"**{_safe(facts.title)}**"
    if facts.is_teacher(system) and facts.teacher is not None:
        return f"{_safe(facts.teacher.name)} (teacher)"
    return _named(facts, system.model)


def _named(facts: Facts, name: str) -> str:
    """A system by its name, without the folders of whoever measured it."""
    for report in facts.reports:
        for each in report.systems:
            if each.model == name and facts.is_student(each):
                return _safe(facts.title)
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    return _safe(name.rstrip("/").rpartition("/")[2] if is_path else name)


def _safe(text: str) -> str:
    """Without what would break a table."""
    return " ".join(text.replace("|", "/").split())
