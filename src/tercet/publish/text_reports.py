"""Reports of `tercet eval text` as JSON: word error rates with intervals, and how two systems compare.

Read by what is looked for, not by where it stands: scores are an object with `wer` or `cer`, each an object
with a `rate`; a comparison is one with `difference` and `p_value`. Those nearest to the top count: those
below them are of parts (domains, lengths, noises).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.errors import DataError
from tercet.publish.json_files import number, read_object

UNITS = ("wer", "cer", "orthographic_wer", "orthographic_cer")
_NAMES = ("model", "system", "name")
_DATA = ("manifest", "data", "dataset")
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Measured:
    """An error rate; shares, 0.05 is 5 %."""

    rate: float
    low: float | None  # ends of its interval
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFigures:
    """One system over one set of recordings."""

    model: str  # as it was named to the command
    data: str  # the manifest's name, without its folders and its kind
    rates: Mapping[str, Measured]  # by unit
    headline: str  # the unit that counts: "wer", or "cer" in languages without spaces
    utterances: int | None
    repeats_per_1000_words: float | None
    rtfx: float | None  # seconds of sound per second


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The first system's rate less the second's; shares."""

    first: str
    second: str
    unit: str
    difference: float
    low: float | None
    high: float | None
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReport:
    """One file."""

    path: Path
    systems: tuple[SystemFigures, ...]
    comparisons: tuple[Comparison, ...]


def read_text_report(path: Path) -> TextReport:
    """Read a report.

    Raises:
        DataError: it cannot be read, or has no scores of texts.
    """
    whole = read_object(path)
    scored = _nearest(whole, _are_scores)
    if not scored:
        raise DataError(
            f"{path}: has no word error rates; give what tercet eval text wrote as JSON"
        )
    systems = tuple(_system(found, context, path) for found, context in scored)
    compared = _nearest(whole, lambda each: {"difference", "p_value"} <= set(each))
    return TextReport(
        path=path,
        systems=systems,
        comparisons=tuple(_comparison(found, context, systems) for found, context in compared),
    )


_Found = tuple[
    dict[str, Any], dict[str, Any]
]  # an object; what stands around it, nearer things first


def _nearest(whole: dict[str, Any], is_meant: Any) -> list[_Found]:
    """All objects of a kind that lie equally near to the top."""
    level: list[_Found] = [(whole, {})]
    for _ in range(_DEEPEST):
        if hits := [pair for pair in level if is_meant(pair[0])]:
            return hits
        level = [each for found, context in level for each in _below(found, {**context, **found})]
    return []


def _below(found: dict[str, Any], context: dict[str, Any]) -> Iterator[_Found]:
    for key, value in found.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield each, {**context, "key": key}


def _are_scores(found: dict[str, Any]) -> bool:
    return any(_measured(found.get(unit)) is not None for unit in ("wer", "cer"))


def _measured(value: object) -> Measured | None:
    if not isinstance(value, dict) or (rate := number(value.get("rate"))) is None:
        return None
    ends = value.get("interval")
    if isinstance(ends, dict):
        ends = [ends.get("low"), ends.get("high")]
    if not isinstance(ends, list) or len(ends) != 2:
        ends = [None, None]
    return Measured(rate, number(ends[0]), number(ends[1]))


def _system(found: dict[str, Any], context: dict[str, Any], path: Path) -> SystemFigures:
    around = {**context, **found}
    rates = {unit: rate for unit in UNITS if (rate := _measured(found.get(unit))) is not None}
    utterances = number(around.get("utterances"))
    headline = found.get("headline")
    return SystemFigures(
        model=_word(around, (*_NAMES, "key")) or path.stem,
        data=Path(_word(around, _DATA) or path).stem,
        rates=rates,
        headline=headline if headline in rates else next(iter(rates)),
        utterances=None if utterances is None else int(utterances),
        repeats_per_1000_words=number(found.get("repeats_per_1000_words")),
        rtfx=number(around.get("rtfx")),
    )


def _comparison(
    found: dict[str, Any], context: dict[str, Any], systems: tuple[SystemFigures, ...]
) -> Comparison:
    around = {**context, **found}
    names = [each.model for each in systems] + ["", ""]
    unit = _word(around, ("unit",))
    ends = _measured({"rate": 0.0, "interval": found.get("interval")})
    return Comparison(
        first=_word(around, ("first", "a")) or names[0],
        second=_word(around, ("second", "b")) or names[1],
        unit=unit if unit in UNITS else systems[0].headline,
        difference=number(found["difference"]) or 0.0,
        low=ends.low if ends else None,
        high=ends.high if ends else None,
        p_value=number(found["p_value"]) or 0.0,
    )


def _word(around: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of these keys whose value is a text."""
    return next((around[key] for key in keys if isinstance(around.get(key), str)), None)
