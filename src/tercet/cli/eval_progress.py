"""How far an evaluation is: one bar on a terminal, a line now and then elsewhere. On stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tercet.cli.listening.progress import clock_text

_LINE_EVERY_S = 30.0  # where there is no terminal: in a log, in a job's output
OnProgress = Callable[[int, int], None]


class EvalScreen:
    """Counts steps, and says how many there are and how long they will take."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._what, self._done, self._total = "", 0, 0
        self._began_at = self._spoke_at = clock()
        self._live: Live | None = None

    @contextmanager
    def stage(self, what: str) -> Iterator[OnProgress]:
        """Gives the callback of one piece of work, which `what` names: "sounds"."""
        self._what, self._done, self._total = what, 0, 0
        self._began_at = self._spoke_at = self._clock()
        if sys.stderr.isatty() and not self._quiet:
            # Results are written to stdout as they are: rich must not take it over.
            self._live = Live(
                get_renderable=self._bar,
                console=Console(stderr=True, highlight=False),
                transient=True,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        try:
            yield self._on_progress
        finally:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def note(self, line: str) -> None:
        """One line about what was left out and the like."""
        if not self._quiet:
            print(f"note: {line}", file=sys.stderr, flush=True)

    def text(self) -> str:
        """`sounds 120/320  1:02 left`."""
        parts = [f"{self._what} {self._done}/{self._total}"]
        if self._done:
            took_s = self._clock() - self._began_at
            left_s = took_s * (self._total - self._done) / self._done
            parts.append(f"{clock_text(left_s)} left")
        return "  ".join(parts)

    def _on_progress(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        now = self._clock()
        if self._live is None and not self._quiet and now - self._spoke_at >= _LINE_EVERY_S:
            self._spoke_at = now
            print(self.text(), file=sys.stderr, flush=True)

    def _bar(self) -> Table:
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(1, self._total), completed=self._done, width=30)
        row.add_row(bar, Text(self.text()))
        return row
