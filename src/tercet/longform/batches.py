"""Which of the waiting windows are decoded together. Nothing is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass

from tercet.engine.protocol import Array
from tercet.longform.parts import Job, Part


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded window, waiting for its batch."""

    job: Job
    part: Part
    states: Array

    @property
    def speech_s(self) -> float:
        """How much of it must be written down, about: long texts take long."""
        until = self.part.hear_until_s
        return self.part.end_s - self.part.start_s if until is None else until


def choose(waiting: Sequence[Row], size: int) -> list[Row]:
    """A batch of windows of similar length, so that its rows end together; the oldest one is among them.

    A recording's language is heard in its first window: that one comes with, or before, its others.
    """
    if len(waiting) <= size:
        return list(waiting)
    by_length = sorted(waiting, key=lambda row: row.speech_s)
    place = next(i for i, row in enumerate(by_length) if row is waiting[0])
    starts = range(max(0, place - size + 1), min(place, len(by_length) - size) + 1)
    start = min(starts, key=lambda i: by_length[i + size - 1].speech_s - by_length[i].speech_s)
    chosen = by_length[start : start + size]
    for i, row in enumerate(chosen):
        first = _first_of(row.job, waiting)
        if row.job.language is None and not any(first is other for other in chosen):
            chosen[i] = first
    return chosen


def leaders(rows: Sequence[Row]) -> list[int]:
    """For each row of a batch, the row that tells its recording's language."""
    found = []
    for row in rows:
        first = _first_of(
            row.job, sorted(rows, key=lambda each: (each.part.start, each.part.is_bridge))
        )
        found.append(next(i for i, other in enumerate(rows) if other is first))
    return found


def _first_of(job: Job, rows: Sequence[Row]) -> Row:
    return next(row for row in rows if row.job is job)
