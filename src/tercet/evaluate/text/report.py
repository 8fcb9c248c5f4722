"""The figures of `tercet eval text`, as lines for people and as JSON. Nothing is heard here."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tercet.evaluate.text.bootstrap import Interval, PairedTest
from tercet.evaluate.text.journal import Heard
from tercet.evaluate.text.latency import Latency
from tercet.evaluate.text.scores import Rate, TextScores, Unit, counted, score_texts
from tercet.evaluate.word_errors import Utterance

LENGTHS_S = (5.0, 10.0, 20.0, 30.0)
_NAMES: dict[Unit, str] = {
    "wer": "WER",
    "cer": "CER",
    "orthographic_wer": "orthographic WER",
    "orthographic_cer": "orthographic CER",
}
_NO_VALUE = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some of the recordings."""

    name: str
    duration_s: float
    scores: TextScores

    @property
    def headline(self) -> Rate:
        """WER, or CER where most recordings are in languages without spaces."""
        return self.scores.rates[self.scores.headline]

    def to_json(self) -> dict[str, Any]:
        """Every figure by name."""
        return {
            "name": self.name,
            "duration_s": round(self.duration_s, 3),
            **self.scores.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """All recordings at one level of one noise."""

    noise: str
    snr_db: float
    rate: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReport:
    """All figures of one model."""

    all: Group
    rtfx: float  # seconds of sound that are written down in a second
    lengths: tuple[Group, ...]
    by: Mapping[str, tuple[Group, ...]]
    noise: tuple[Level, ...]
    latency: tuple[Latency, ...]
    written: tuple[Heard, ...]  # clean ones

    def to_json(self) -> dict[str, Any]:
        """Every figure by name, and each recording's texts. Rates are shares."""
        return {
            "recordings": len(self.written),
            "duration_s": round(self.all.duration_s, 3),
            "rtfx": None if self.rtfx != self.rtfx else self.rtfx,
            "scores": self.all.scores.to_json(),
            "lengths": [each.to_json() for each in self.lengths],
            "by": {field: [each.to_json() for each in found] for field, found in self.by.items()},
            "noise": [
                {"noise": each.noise, "snr_db": each.snr_db, **each.rate.to_json()}
                for each in self.noise
            ],
            "latency": [asdict(each) for each in self.latency],
            "written": [asdict(each) for each in self.written],
        }

    def lines(self) -> list[str]:
        """For people."""
        scores = self.all.scores
        left_out = f" ({scores.left_out} without a word left out)" if scores.left_out else ""
        edits = self.all.headline.edits
        unit = "letters" if scores.headline == "cer" else "words"
        return [
            f"recordings           {len(self.written)}, {self.all.duration_s / 60:.1f} minutes{left_out}",
            *(f"{_NAMES[unit]:<20} {_percent(rate)}" for unit, rate in scores.rates.items()),
            f"errors               {edits.substitutions} substitutions, {edits.deletions} deletions, "
            f"{edits.insertions} insertions in {edits.size} {unit}",
            f"repeated 5-grams     {scores.repeats} ({scores.repeats_per_1000_words:.2f} per 1000 words; "
            f"5-Dup {scores.five_dup})",
            f"RTFx                 {self.rtfx:.1f}",
            *_group_lines("length", self.lengths),
            *(line for field, found in self.by.items() for line in _group_lines(field, found)),
            *_noise_lines(self.noise, self.all),
            *_latency_lines(self.latency),
        ]


def report_of(
    heard: Sequence[Heard],
    *,
    by: Sequence[str] = (),
    lengths_s: Sequence[float] = LENGTHS_S,
    latency: Sequence[Latency] = (),
) -> TextReport:
    """The figures of what was heard.

    Args:
        heard: Clean recordings, and noisy ones if there are any.
        by: Fields that were kept.
        lengths_s: Where one class of lengths ends and the next begins, rising.
        latency: What was measured of it.

    Raises:
        EngineError: jiwer is not installed.
    """
    clean = [each for each in heard if not each.noise]
    took_s = sum(each.took_s for each in clean)
    duration_s = sum(each.duration_s for each in clean)
    return TextReport(
        all=_group("all", clean),
        rtfx=duration_s / took_s if took_s > 0 else float("nan"),
        lengths=tuple(_length_groups(clean, lengths_s)),
        by={name: tuple(_field_groups(clean, name)) for name in by},
        noise=tuple(_levels(heard)),
        latency=tuple(latency),
        written=tuple(clean),
    )


def utterances_of(heard: Iterable[Heard]) -> list[Utterance]:
    """What is compared."""
    return [Utterance(each.reference, each.text, each.language) for each in heard]


def _group(name: str, heard: Sequence[Heard]) -> Group:
    return Group(
        name=name,
        duration_s=sum(each.duration_s for each in heard),
        scores=score_texts(utterances_of(heard)),
    )


def _field_groups(heard: Sequence[Heard], name: str) -> list[Group]:
    found: dict[str, list[Heard]] = {}
    for each in heard:
        value = (each.fields or {}).get(name, "") or _NO_VALUE
        found.setdefault(value, []).append(each)
    return [_group(value, found[value]) for value in sorted(found)]


def _length_groups(heard: Sequence[Heard], lengths_s: Sequence[float]) -> list[Group]:
    ends = [0.0, *lengths_s, float("inf")]
    groups = []
    for low, high in itertools.pairwise(ends):
        inside = [each for each in heard if low < each.duration_s <= high]
        name = f"over {low:g} s" if high == float("inf") else f"{low:g} to {high:g} s"
        if inside:
            groups.append(_group(name, inside))
    return groups


def _levels(heard: Sequence[Heard]) -> list[Level]:
    found: dict[tuple[str, float], list[Heard]] = {}
    for each in heard:
        if each.noise and each.snr_db is not None:
            found.setdefault((each.noise, each.snr_db), []).append(each)
    levels = []
    for (noise, snr_db), some in found.items():
        scores = score_texts(utterances_of(some))
        levels.append(Level(noise=noise, snr_db=snr_db, rate=scores.rates[scores.headline]))
    return levels


def worst(heard: Sequence[Heard], n: int) -> list[tuple[int, Heard]]:
    """The recordings with the most errors, and how many; those without any are not among them."""
    of: Callable[[Utterance], int] = _errors
    ranked = sorted(
        ((of(pair), each) for pair, each in zip(utterances_of(heard), heard, strict=True)),
        key=lambda entry: -entry[0],
    )
    return [(errors, each) for errors, each in ranked[:n] if errors]


def _errors(utterance: Utterance) -> int:
    found = counted(utterance)
    if found is None:
        return 0
    return found.edits["cer" if found.is_unspaced else "wer"].errors


def comparison_lines(names: tuple[str, str], test: PairedTest) -> list[str]:
    """Two models, by the same recordings."""
    first, second = names
    better = first if test.difference < 0 else second
    verdict = f"{better} has fewer errors" if test.difference else "as many errors"
    if test.p_value >= 0.05 and test.difference:
        verdict += ", which may be chance"
    told_p = f"p = {test.p_value:.3f}" if test.p_value >= 0.001 else "p < 0.001"
    return [
        f"{first} less {second}: {100 * test.difference:+.2f} points "
        f"(95 %: {_ends(test.interval)}), {told_p}: {verdict}",
        f"recordings           {test.wins} with fewer errors by {first}, {test.losses} by {second}, "
        f"{test.ties} alike",
    ]


def comparison_json(names: tuple[str, str], test: PairedTest) -> dict[str, Any]:
    """Every figure by name; None where there is nothing to tell."""
    ends = [test.interval.low, test.interval.high]
    return {
        "first": names[0],
        "second": names[1],
        **asdict(test),
        "interval": None if ends[0] != ends[0] else ends,
    }


def _percent(rate: Rate) -> str:
    return f"{100 * rate.rate:.2f} % (95 %: {_ends(rate.interval)})"


def _ends(interval: Interval) -> str:
    """`2.13 to 4.20`, or `-` of a single recording."""
    low, high = interval.low, interval.high
    return "-" if low != low else f"{100 * low:.2f} to {100 * high:.2f}"


def _group_lines(field: str, groups: Sequence[Group]) -> list[str]:
    if not groups:
        return []
    width = max(20, *(len(each.name) for each in groups))
    lines = ["", f"{field:<{width}} {'n':>6} {'minutes':>8} {'%':>7}  95 %"]
    for each in groups:
        rate = each.headline
        told = f"{_NAMES[each.scores.headline]} {_ends(rate.interval)}"
        lines.append(
            f"{each.name:<{width}} {each.scores.utterances:>6} {each.duration_s / 60:>8.1f} "
            f"{100 * rate.rate:>7.2f}  {told}"
        )
    return lines


def _noise_lines(levels: Sequence[Level], clean: Group) -> list[str]:
    """A row for each noise, a column for each level."""
    if not levels:
        return []
    found = list(dict.fromkeys(each.snr_db for each in levels))
    name = _NAMES[clean.scores.headline]
    lines = ["", f"{f'{name} under noise, %':<23}{'clean':>8}"]
    lines[-1] += "".join(f"{f'{snr:g} dB':>8}" for snr in found)
    for kind in dict.fromkeys(each.noise for each in levels):
        rates = {each.snr_db: each.rate.rate for each in levels if each.noise == kind}
        cells = [clean.headline.rate, *(rates[snr] for snr in found)]
        lines.append(f"{kind:<23}" + "".join(f"{100 * cell:>8.1f}" for cell in cells))
    return lines


def _latency_lines(latency: Sequence[Latency]) -> list[str]:
    if not latency:
        return []
    lines = ["", f"{'batch':<8} {'recordings':>10} {'median s':>9} {'RTFx':>7}"]
    return lines + [
        f"{each.batch:<8} {each.recordings:>10} {each.median_s:>9.3f} {each.rtfx:>7.1f}"
        for each in latency
    ]
