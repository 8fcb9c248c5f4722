"""How far the hearing is: audio time, speed, time left. Drawn on stderr, on a terminal only.

`Meter` counts and `Screen` speaks; results never pass through here.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tercet.results import Progress


class Reading(NamedTuple):
    """Where a run stands, in seconds of audio; None where it cannot be known yet."""

    done_s: float
    total_s: float | None
    speed: float | None  # seconds of audio per second of clock
    left_s: float | None  # seconds of clock


class _Ended:
    """The sums over the recordings that are through."""

    count = 0
    done_s = 0.0
    with_sound = 0  # a failed recording has no length to learn from


class Meter:
    """Adds up the progress of all recordings. A recording not met yet counts as an average one.

    Only the recordings under way are remembered one by one.
    """

    def __init__(self, files: int, clock: Callable[[], float] = monotonic) -> None:
        self._files = files
        self._clock = clock
        self._start_s = clock()
        self._under_way: dict[int, Progress] = {}
        self._is_through = bytearray(files)
        self._ended = _Ended()

    @property
    def elapsed_s(self) -> float:
        """Since the meter was made."""
        return self._clock() - self._start_s

    @property
    def finished(self) -> int:
        """How many recordings are through, heard or failed."""
        return self._ended.count

    def update(self, progress: Progress) -> None:
        """Take a report of the model's."""
        if not self._is_through[progress.source_index]:
            self._under_way[progress.source_index] = progress

    def finish(self, index: int) -> None:
        """A recording is through: what it was not heard of (it failed) is not awaited any more."""
        if self._is_through[index]:
            return
        self._is_through[index] = True
        last = self._under_way.pop(index, None)
        done_s = 0.0 if last is None else last.done_s
        self._ended.count += 1
        self._ended.done_s += done_s
        self._ended.with_sound += done_s > 0

    def read(self) -> Reading:
        """The sums, now."""
        done_s = self._ended.done_s + sum(p.done_s for p in self._under_way.values())
        totals = [p.total_s for p in self._under_way.values() if p.total_s is not None]
        known = self._ended.count + len(totals)
        total_s = None
        if known:
            known_s = self._ended.done_s + sum(totals)
            with_sound = self._ended.with_sound + sum(total > 0 for total in totals)
            average_s = known_s / with_sound if with_sound else 0.0
            total_s = max(done_s, known_s + average_s * (self._files - known))
        elapsed_s = self.elapsed_s
        speed = done_s / elapsed_s if done_s > 0 and elapsed_s > 0 else None
        left_s = (total_s - done_s) / speed if total_s is not None and speed else None
        return Reading(done_s, total_s, speed, left_s)


def clock_text(seconds: float) -> str:
    """`4:05`, or `1:04:05` from an hour on."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


def status_text(reading: Reading, finished: int, files: int) -> str:
    """The line beside the bar: `2/5 files  12:30 of 45:00  18.2x  1:47 left`."""
    total = "" if reading.total_s is None else f" of {clock_text(reading.total_s)}"
    parts = [f"{clock_text(reading.done_s)}{total}"]
    if files > 1:
        parts.insert(0, f"{finished}/{files} files")
    if reading.speed is not None:
        parts.append(f"{reading.speed:.1f}x")
    if reading.left_s is not None:
        parts.append(f"{clock_text(reading.left_s)} left")
    return "  ".join(parts)


class Screen:
    """What the user sees on stderr: errors always, notes on a terminal, a bar while it works."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._is_live = sys.stderr.isatty() and not quiet
        self._shows_notes = self._is_live or verbose
        self._verbose = verbose
        self._files = 0
        self._meter: Meter | None = None
        self._live: Live | None = None

    def error(self, line: str) -> None:
        """Always shown."""
        self.say(f"tercet: {' '.join(line.split())}")

    def note(self, line: str) -> None:
        """For a person who watches: on a terminal, or with --verbose."""
        if self._shows_notes:
            self.say(line)

    def summary(self) -> None:
        """A closing note: how much was heard, how fast."""
        if self._meter is None:
            return
        done_s, _, speed, _ = self._meter.read()
        pace = "" if speed is None else f" ({speed:.1f}x)"
        took = clock_text(self._meter.elapsed_s)
        self.note(f"{clock_text(done_s)} of audio heard in {took}{pace}")

    def detail(self, line: str) -> None:
        """With --verbose."""
        if self._verbose:
            self.say(line)

    @contextmanager
    def progress(self, files: int) -> Iterator[None]:
        """Draw the bar while the block hears so many recordings; it leaves no trace."""
        self._files = files
        self._meter = Meter(files)
        if not self._is_live:
            yield
            return
        self._start_bar()
        try:
            yield
        finally:
            self._stop_bar()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar away while something else is written to the terminal."""
        was_drawn = self._live is not None
        self._stop_bar()
        try:
            yield
        finally:
            if was_drawn:
                self._start_bar()

    def on_progress(self, progress: Progress) -> None:
        """The model's callback."""
        if self._meter is not None:
            self._meter.update(progress)

    def finish(self, index: int) -> None:
        """A recording is through."""
        if self._meter is not None:
            self._meter.finish(index)

    def _start_bar(self) -> None:
        # Results are written to stdout as they are: rich must not take it over.
        self._live = Live(
            get_renderable=self._bar,
            console=self._console,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def _stop_bar(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = None

    def _bar(self) -> Table:
        row = Table.grid(padding=(0, 1))
        if self._meter is None:
            return row
        reading = self._meter.read()
        bar = ProgressBar(total=reading.total_s, completed=reading.done_s, width=30)
        row.add_row(bar, Text(status_text(reading, self._meter.finished, self._files)))
        return row

    def say(self, line: str) -> None:
        """Shown whatever the settings are: the caller asked them."""
        with self.paused():
            # A name that the terminal's encoding cannot show must not stop the run.
            encoding = sys.stderr.encoding or "utf-8"
            shown = line.encode(encoding, errors="backslashreplace").decode(encoding)
            print(shown, file=sys.stderr, flush=True)
