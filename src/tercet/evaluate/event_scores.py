"""How well events were found: matched to the true ones by label and onset, within a collar. No model.

Event-based precision, recall and F1 as in sound event detection (DCASE, sed_eval: Mesaros et al. 2016, with
onsets alone), and the errors of onsets.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

DEFAULT_COLLAR_S = 1.0


class Timed(Protocol):
    """An event, found or true (`tercet.SoundEvent` is one)."""

    @property
    def start_s(self) -> float:
        """Seconds."""
        ...

    @property
    def end_s(self) -> float:
        """Seconds."""
        ...

    @property
    def label(self) -> str:
        """Display name."""
        ...


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of one label, or of several together."""

    matched: int = 0
    found: int = 0
    true: int = 0

    @property
    def precision(self) -> float:
        """Share of found events that are true; 1.0 where none was found."""
        return self.matched / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of true events that were found; 1.0 where there is none."""
        return self.matched / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 1.0 where there is nothing to find and nothing was found."""
        return self.f(1.0)

    def f(self, beta: float) -> float:
        """F-beta: above 1, what is missed counts more than what is false; 1.0 where there is nothing."""
        weight = beta**2
        total = self.found + weight * self.true
        return (1 + weight) * self.matched / total if total else 1.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.matched + other.matched, self.found + other.found, self.true + other.true
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventScores:
    """Figures over a set of recordings."""

    by_label: Mapping[str, Counts]  # labels that are true or found anywhere
    # True events whose label was found at some time in their duration (or within the collar of it):
    # (how many, of how many), by label.
    heard: Mapping[str, tuple[int, int]]
    # Of every true event that was heard: the nearest found onset of its label minus its own, seconds.
    errors_by_label: Mapping[str, tuple[float, ...]]
    collar_s: float

    @property
    def onset_errors_s(self) -> tuple[float, ...]:
        """Of all labels, label after label."""
        return tuple(error for errors in self.errors_by_label.values() for error in errors)

    @property
    def counts(self) -> Counts:
        """All labels together (micro average)."""
        return sum(self.by_label.values(), Counts())

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the labels that are true somewhere; NaN where none is."""
        values = [each.f1 for each in self.by_label.values() if each.true]
        return float(np.mean(values)) if values else float("nan")

    @property
    def heard_share(self) -> float:
        """Share of true events that were heard; NaN where there is none."""
        n = sum(true for _, true in self.heard.values())
        return sum(heard for heard, _ in self.heard.values()) / n if n else float("nan")

    @property
    def median_onset_error_s(self) -> float:
        """Median of the errors' sizes; NaN where nothing was heard."""
        return _median_size(self.onset_errors_s)

    def median_error_of(self, label: str) -> float:
        """The same of one label."""
        return _median_size(self.errors_by_label.get(label, ()))


def score_events(
    recordings: Iterable[tuple[Sequence[Timed], Sequence[Timed]]],
    *,
    labels: Sequence[str] | None = None,
    collar_s: float = DEFAULT_COLLAR_S,
) -> EventScores:
    """Compare what was found with what is true.

    Args:
        recordings: (found events, true events) of each.
        labels: Only these count; None: all.
        collar_s: How far a found onset may lie from a true one.

    A found event matches at most one true event, and the other way round: as many pairs as possible.
    """
    by_label: dict[str, Counts] = defaultdict(Counts)
    heard: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    errors: dict[str, list[float]] = defaultdict(list)
    for found, true in recordings:
        names = {event.label for event in (*found, *true)}
        for label in sorted(names if labels is None else names & set(labels)):
            mine = [event for event in found if event.label == label]
            wanted = [event for event in true if event.label == label]
            by_label[label] += Counts(_matches(mine, wanted, collar_s), len(mine), len(wanted))
            for event in wanted:
                error = _onset_error(event, mine, collar_s)
                hits, n = heard[label]
                heard[label] = (hits + (error is not None), n + 1)
                if error is not None:
                    errors[label].append(error)
    return EventScores(
        by_label=dict(by_label),
        heard={label: counts for label, counts in heard.items() if counts[1]},
        errors_by_label={label: tuple(each) for label, each in errors.items()},
        collar_s=collar_s,
    )


def _median_size(errors: Sequence[float]) -> float:
    return float(np.median(np.abs(errors))) if errors else float("nan")


def _matches(found: Sequence[Timed], true: Sequence[Timed], collar_s: float) -> int:
    """The largest number of pairs: on a line, taking the earliest that fits is best."""
    onsets = sorted(event.start_s for event in found)
    at = pairs = 0
    for event in sorted(true, key=lambda event: event.start_s):
        while at < len(onsets) and onsets[at] < event.start_s - collar_s - 1e-9:
            at += 1
        if at < len(onsets) and onsets[at] <= event.start_s + collar_s + 1e-9:
            at += 1
            pairs += 1
    return pairs


def _onset_error(event: Timed, found: Sequence[Timed], collar_s: float) -> float | None:
    """The nearest onset's distance; None where the event was not heard."""
    overlapping = [
        each.start_s - event.start_s
        for each in found
        if each.start_s < event.end_s + collar_s and each.end_s > event.start_s - collar_s
    ]
    return min(overlapping, key=abs) if overlapping else None
