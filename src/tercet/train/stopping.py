"""When a run ends before its end: Ctrl-C, SIGTERM, or its time is up. It then saves, and can go on."""

import signal
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, Literal

Reason = Literal["interrupted", "terminated", "time"]


class Stopped(Exception):  # noqa: N818 - a request, not a fault
    """Raised between two batches, where nothing is half done."""


class StopSignals:
    """Takes Ctrl-C and SIGTERM as wishes, as a context manager. A second Ctrl-C is an order."""

    def __init__(self, max_minutes: float, clock: Callable[[], float] = monotonic) -> None:
        self.reason: Reason | None = None
        self._clock = clock
        self._end_s = clock() + 60 * max_minutes if max_minutes else float("inf")
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wanted(self) -> bool:
        """Whether to stop at the next whole step."""
        if self.reason is None and self._clock() >= self._end_s:
            self.reason = "time"
        return self.reason is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.reason = "interrupted" if number == signal.SIGINT else "terminated"
