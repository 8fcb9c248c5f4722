"""What whoever watches a run is told, and how long it will take. Nothing is printed here."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

_MEMORY = 50  # reports from which the speed is taken
_NOTE_S = 10.0


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where a run stands."""

    step: int
    total_steps: int
    epoch: int  # under way, from 1
    epochs: int
    loss: float
    phase: str  # "training", "validation"
    left_s: float | None  # None where it cannot be known yet
    done: int = 0  # batches of the validation
    total: int = 0


class Watcher(Protocol):
    """Who watches: the command line, a notebook."""

    def on_progress(self, progress: TrainProgress) -> None:
        """Called after every step and every validation batch; has to be quick."""
        ...

    def on_note(self, line: str) -> None:
        """Something that a person may want to know, one line."""
        ...


class Unwatched:
    """Nobody watches."""

    def on_progress(self, progress: TrainProgress) -> None:
        """Nothing."""

    def on_note(self, line: str) -> None:
        """Nothing."""


class Pace:
    """Time left, from the last reports. Validations count as what they are: part of the time."""

    def __init__(self, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._total = total
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=_MEMORY)
        self._first: tuple[float, int] | None = None

    def left_s(self, step: int) -> float | None:
        """Seconds until the last step, at the mean pace of this piece and of its last steps."""
        now = self._clock()
        self._first = self._first or (now, step)
        self._seen.append((now, step))
        made = step - self._first[1]
        if made <= 0:
            return None
        overall = (now - self._first[0]) / made
        recent_s, recent_step = self._seen[0]
        recent = (now - recent_s) / (step - recent_step) if step > recent_step else overall
        return (self._total - step) * max(overall, recent)


def hearing_notes(
    watcher: Watcher, what: str, n: int, clock: Callable[[], float] = monotonic
) -> Callable[[int], None]:
    """For what is told how many of `n` recordings are heard: a note every ten seconds, and one at the end."""
    last_s = clock()

    def tell(done: int) -> None:
        nonlocal last_s
        if done == n or clock() - last_s >= _NOTE_S:
            last_s = clock()
            watcher.on_note(f"heard {what}: {done} of {n}")

    return tell
