"""How far a training run is: one bar on a terminal, a line now and then elsewhere. On stderr."""

import math
import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tercet.cli.listening.progress import clock_text

if TYPE_CHECKING:
    from tercet.train.watch import TrainProgress

_LINE_EVERY_S = 30.0  # where there is no terminal: in a log, in a job's output


def status_text(progress: "TrainProgress") -> str:
    """`epoch 3/30  step 1200/12200  loss 0.0123  1:02:03 left`."""
    parts = [f"epoch {progress.epoch}/{progress.epochs}"]
    if progress.phase == "validation":
        parts.append(f"validation {progress.done}/{progress.total}")
    else:
        parts.append(f"step {progress.step}/{progress.total_steps}")
    if math.isfinite(progress.loss):
        parts.append(f"loss {progress.loss:.4g}")
    if progress.left_s is not None:
        parts.append(f"{clock_text(progress.left_s)} left")
    return "  ".join(parts)


class TrainScreen:
    """A `tercet.train.watch.Watcher` for people; as a context manager it takes its bar away at the end."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._spoke_at = clock()
        self._last: TrainProgress | None = None
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    def __enter__(self) -> "TrainScreen":
        if sys.stderr.isatty() and not self._quiet:
            self._live = Live(
                get_renderable=self._bar,
                console=self._console,
                transient=True,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def on_progress(self, progress: "TrainProgress") -> None:
        """See `Watcher`."""
        self._last = progress
        if self._live is None and not self._quiet:
            now = self._clock()
            if now - self._spoke_at >= _LINE_EVERY_S:
                self._spoke_at = now
                self._say(status_text(progress))

    def on_note(self, line: str) -> None:
        """See `Watcher`."""
        if not self._quiet:
            self._say(line)

    def _say(self, line: str) -> None:
        if self._live is not None:
            self._console.print(line, markup=False, soft_wrap=True)  # above the bar
        else:
            print(line, file=sys.stderr, flush=True)

    def _bar(self) -> Table:
        row = Table.grid(padding=(0, 1))
        if self._last is not None:
            bar = ProgressBar(total=self._last.total_steps, completed=self._last.step, width=30)
            row.add_row(bar, Text(status_text(self._last)))
        return row
