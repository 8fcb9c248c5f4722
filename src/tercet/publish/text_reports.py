"""Reports of `tercet eval text` as JSON: word error rates with intervals, and how two models compare.

Its figures of parts (lengths, fields, noises) are not for a card.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.errors import DataError
from tercet.publish.json_files import number, read_object

UNITS = ("wer", "cer", "orthographic_wer", "orthographic_cer")
_NO_NAMES = ("manifest", "metadata")  # of manifests


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
    data: str  # the manifest's name, without its kind
    rates: Mapping[str, Measured]  # by unit
    headline: str  # the unit that counts: "wer", or "cer" in languages without spaces
    utterances: int | None
    repeats_per_1000_words: float | None


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
    """Read a report of one model, or of two and their comparison.

    Raises:
        DataError: it cannot be read, or has no scores of texts.
    """
    whole = read_object(path)
    of_models = whole.get("models", [whole])
    told = (
        [each for each in of_models if isinstance(each, dict)]
        if isinstance(of_models, list)
        else []
    )
    if not told:
        raise _no_rates(path)
    systems = tuple(_system(each, path) for each in told)
    compared = whole.get("comparison")
    return TextReport(
        path=path,
        systems=systems,
        comparisons=(_comparison(compared, systems),) if isinstance(compared, dict) else (),
    )


def _no_rates(path: Path) -> DataError:
    return DataError(f"{path}: has no word error rates; give what tercet eval text wrote as JSON")


def _measured(value: object) -> Measured | None:
    if not isinstance(value, dict) or (rate := number(value.get("rate"))) is None:
        return None
    ends = value.get("interval") or [None, None]
    return Measured(rate, number(ends[0]), number(ends[1]))


def _system(told: Mapping[str, Any], path: Path) -> SystemFigures:
    scores = told.get("scores")
    scores = scores if isinstance(scores, dict) else {}
    rates = {unit: rate for unit in UNITS if (rate := _measured(scores.get(unit))) is not None}
    if not {"wer", "cer"} & set(rates):
        raise _no_rates(path)
    headline = scores.get("headline")
    utterances = number(scores.get("utterances"))
    return SystemFigures(
        model=str(told.get("model", path.stem)),
        data=_name_of(Path(str(told.get("manifest", path)))),
        rates=rates,
        headline=headline if headline in rates else next(iter(rates)),
        utterances=None if utterances is None else int(utterances),
        repeats_per_1000_words=number(scores.get("repeats_per_1000_words")),
    )


def _name_of(manifest: Path) -> str:
    """A data set's name: its manifest's, or its folder's where every manifest is called so."""
    return manifest.parent.name or manifest.stem if manifest.stem in _NO_NAMES else manifest.stem


def _comparison(told: Mapping[str, Any], systems: tuple[SystemFigures, ...]) -> Comparison:
    ends = told.get("interval") or [None, None]
    return Comparison(
        first=str(told.get("first", "")),
        second=str(told.get("second", "")),
        unit=systems[0].headline,
        difference=number(told.get("difference")) or 0.0,
        low=number(ends[0]),
        high=number(ends[1]),
        p_value=number(told.get("p_value")) or 0.0,
    )
