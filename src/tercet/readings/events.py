"""From frame scores to sound events with onset and offset, as the scores come. Nothing is scored here.

A label is on from a frame whose score reaches its threshold until the score falls under its lower threshold
(hysteresis); short gaps are bridged, then short events dropped.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from tercet.errors import OptionError
from tercet.results import SoundEvent
from tercet.text.labels import find_labels

PerLabel = float | Mapping[str, float]  # one number for all labels, or some labels' own
DEFAULT_MIN_DURATION_S = 0.0
DEFAULT_MIN_GAP_S = 0.8  # one quiet frame of 0.4 s does not cut an event
_OFF_SHARE = 0.5  # of the threshold, under which a sound has ended
_ROWS_AT_ONCE = 1024  # bounds the memory of one step
_FOREVER_ROWS = 2**40
_EPSILON = 1e-6  # in frames and seconds: 2 x 0.4 is not less than 0.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # arrays have no one answer to ==
class EventOptions:
    """What counts as an event, for each wanted label. `of` checks what users give."""

    columns: np.ndarray  # int64 [wanted], ascending: the labels that may have events
    top_k: int | None  # of the wanted labels, only the k highest of a frame count; None: all
    threshold: np.ndarray  # float32 [wanted]: an event begins where the score reaches it
    off_threshold: np.ndarray  # float32 [wanted]: it goes on while the score is at least this
    min_duration_s: np.ndarray  # float64 [wanted]: shorter events are dropped
    min_gap_s: np.ndarray  # float64 [wanted]: shorter gaps are bridged

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        default_thresholds: Sequence[float],
        *,
        wanted: str | Sequence[str | int] | None = None,
        top_k: int | None = None,
        threshold: PerLabel | None = None,
        off_threshold: PerLabel | None = None,
        min_duration_s: PerLabel = DEFAULT_MIN_DURATION_S,
        min_gap_s: PerLabel = DEFAULT_MIN_GAP_S,
    ) -> "EventOptions":
        """Options as users give them.

        Where a number is asked for, a dictionary gives some labels their own, and leaves the others the
        default. Labels are named as `text.labels.find_labels` understands them.

        Args:
            labels: The head's display names.
            default_thresholds: The head's own, 0..1: one for all labels, or one each.
            wanted: Only these labels may have events; None: all.
            top_k: Only the k highest of the wanted labels count in a frame. Of equals, the first ones.
            threshold: 0..1.
            off_threshold: 0 up to the label's threshold; half of that by default.
            min_duration_s: From 0 on.
            min_gap_s: From 0 on.

        Raises:
            OptionError: a value is not allowed.
            LabelError: a label is unknown.
        """
        if top_k is not None and (not _is_whole(top_k) or top_k < 1):
            raise OptionError(f"top_k is {top_k!r}; give a whole number from 1 on, or None for all")
        n = len(labels)
        columns = np.arange(n) if wanted is None else np.array(sorted(find_labels(wanted, labels)))
        own = np.broadcast_to(np.asarray(default_thresholds, np.float64), (n,))
        on = own if threshold is None else _each("threshold", threshold, own, labels, high=1.0)
        half = on * _OFF_SHARE
        off = half
        if off_threshold is not None:
            off = _each("off_threshold", off_threshold, half, labels, high=1.0)
        for column in columns[off[columns] > on[columns]]:
            raise OptionError(
                f"off_threshold of {labels[column]!r} is {off[column]:g}, above its threshold "
                f"{on[column]:g}; give at most that"
            )
        zero = np.zeros(n)
        return cls(
            columns=columns.astype(np.int64),
            top_k=None if top_k is None else int(top_k),
            threshold=on[columns].astype(np.float32),
            off_threshold=off[columns].astype(np.float32),
            min_duration_s=_each("min_duration_s", min_duration_s, zero, labels)[columns],
            min_gap_s=_each("min_gap_s", min_gap_s, zero + DEFAULT_MIN_GAP_S, labels)[columns],
        )


def in_order(events: Iterable[SoundEvent]) -> list[SoundEvent]:
    """By onset; at one onset, in the order of the labels."""
    return sorted(events, key=lambda event: (event.start_s, event.label_id))


@dataclass(slots=True)
class _Sounding:
    """A label's latest event, which may still grow. Rows are the recording's."""

    start: int
    end: int  # the row behind its last
    peak: float


class EventTracker:
    """Finds the events of one recording in its rows of scores, however they are cut into pushes."""

    def __init__(
        self,
        options: EventOptions,
        labels: Sequence[str],
        frame_s: float = 0.4,
        *,
        start_s: float = 0.0,
    ) -> None:
        """No rows yet.

        Args:
            options: What counts.
            labels: Display names of the scores' columns.
            frame_s: How long a row is.
            start_s: Where the first row begins, on the recording's clock.
        """
        self._options, self._labels = options, labels
        self._frame_s, self._start_s = frame_s, start_s
        # From so many rows on, a gap is not bridged.
        gap_rows = np.ceil(options.min_gap_s / frame_s - _EPSILON)
        self._gap_rows = np.minimum(gap_rows, _FOREVER_ROWS).astype(np.int64)
        self._is_on = np.zeros(options.columns.size, bool)  # in the last row
        self._sounding: dict[int, _Sounding] = {}  # by place among the wanted labels
        self._n_rows = 0

    def push(self, scores: np.ndarray) -> list[SoundEvent]:
        """Take the next rows, float32 [rows, labels], and give the events that nothing can change any more.

        They come by onset, then label. An event that goes on for long comes late, after others that began
        later: `in_order` puts a whole recording's in order.
        """
        done: list[tuple[int, _Sounding]] = []
        for first in range(0, len(scores), _ROWS_AT_ONCE):
            done += self._take(scores[first : first + _ROWS_AT_ONCE, self._options.columns])
        return self._events(done, math.inf)

    def finish(self, duration_s: float) -> list[SoundEvent]:
        """The recording ends at `duration_s` on its clock: give the rest, none of which reaches beyond."""
        done = list(self._sounding.items())
        self._sounding = {}
        self._is_on[:] = False
        return self._events(done, duration_s)

    def _take(self, scores: np.ndarray) -> list[tuple[int, _Sounding]]:
        """The next rows of the wanted labels; gives what has ended for good."""
        counts = scores >= self._options.off_threshold
        counts &= _highest(scores, self._options.top_k)
        is_on = self._hysteresis(counts, counts & (scores >= self._options.threshold))
        done: list[tuple[int, _Sounding]] = []
        for place, begin, end in _runs(is_on):
            peak = float(scores[begin:end, place].max())
            piece = _Sounding(self._n_rows + begin, self._n_rows + end, peak)
            goes_on = begin == 0 and bool(self._is_on[place])
            done += self._add(place, piece, goes_on)
        self._is_on = is_on[-1]
        self._n_rows += len(scores)
        for place in [p for p, event in self._sounding.items() if self._has_ended(p, event)]:
            done.append((place, self._sounding.pop(place)))
        return done

    def _hysteresis(self, counts: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """On where a label began later than it last did not count: bool [rows, wanted]."""
        rows = np.arange(1, len(counts) + 1, dtype=np.int32)[:, None]
        began = np.maximum.accumulate(np.where(begins, rows, 0), axis=0)
        # Before these rows, a label that was on began later (row 0) than it last did not count (row -1).
        quiet_before = np.where(self._is_on, -1, 0).astype(np.int32)
        quiet = np.maximum.accumulate(np.where(counts, quiet_before, rows), axis=0)
        is_on: np.ndarray = began > quiet
        return is_on

    def _add(self, place: int, piece: _Sounding, goes_on: bool) -> Iterator[tuple[int, _Sounding]]:
        """Join a stretch to the label's latest event, or let it be a new one and give up the old."""
        before = self._sounding.get(place)
        if before and (goes_on or piece.start - before.end < self._gap_rows[place]):
            before.end = piece.end
            before.peak = max(before.peak, piece.peak)
            return
        if before:
            yield place, before
        self._sounding[place] = piece

    def _has_ended(self, place: int, event: _Sounding) -> bool:
        """Whether a stretch that begins in the next row could no longer be joined to it."""
        return not self._is_on[place] and self._n_rows - event.end >= self._gap_rows[place]

    def _events(
        self, found: Iterable[tuple[int, _Sounding]], duration_s: float
    ) -> list[SoundEvent]:
        """Long enough ones as results."""
        events = []
        for place, each in found:
            start_s = self._time(each.start)
            end_s = min(self._time(each.end), duration_s)
            if end_s <= start_s or end_s - start_s < self._options.min_duration_s[place] - _EPSILON:
                continue
            column = int(self._options.columns[place])
            events.append(
                SoundEvent(
                    start_s=start_s,
                    end_s=end_s,
                    label=self._labels[column],
                    score=round(each.peak, 6),  # what float32 holds, without the dust
                    label_id=column,
                )
            )
        return in_order(events)

    def _time(self, row: int) -> float:
        """Where a row begins, without the dust of 3 x 0.4."""
        return round(self._start_s + row * self._frame_s, 6)


def _highest(scores: np.ndarray, top_k: int | None) -> np.ndarray:
    """Which scores are among the k highest of their row, the first ones of equals: bool [rows, n]."""
    n = scores.shape[1]
    if top_k is None or top_k >= n:
        return np.ones(scores.shape, bool)
    kth = np.partition(scores, n - top_k, axis=1)[:, n - top_k, None]
    above = scores > kth
    equal = scores == kth
    free = top_k - above.sum(axis=1, keepdims=True)
    highest: np.ndarray = above | (equal & (np.cumsum(equal, axis=1) <= free))
    return highest


def _runs(is_on: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(column, first row, row behind the last) of each stretch of True in `is_on` [rows, n]."""
    edge = np.zeros((1, is_on.shape[1]), np.int8)
    steps = np.diff(is_on.astype(np.int8), axis=0, prepend=edge, append=edge).T
    columns, begins = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return zip(columns.tolist(), begins.tolist(), ends.tolist(), strict=True)


def _each(
    name: str,
    given: PerLabel,
    default: np.ndarray,
    labels: Sequence[str],
    *,
    high: float = math.inf,
) -> np.ndarray:
    """One number per label, float64: the given one, or the default with some labels' own in it."""
    if not isinstance(given, Mapping):
        return np.full(len(labels), _number(name, given, high))
    values = default.copy()
    for label, value in given.items():
        values[list(find_labels(label, labels))] = _number(f"{name} of {label!r}", value, high)
    return values


def _number(name: str, value: object, high: float) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value <= high:  # type: ignore[arg-type, operator]
        allowed = "a number from 0 on" if math.isinf(high) else f"a number from 0 to {high:g}"
        raise OptionError(f"{name} is {value!r}; give {allowed}")
    return float(value)  # type: ignore[arg-type]


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
