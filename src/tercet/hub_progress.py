"""Bytes that arrive from the hub, as a callback. Draws nothing.

huggingface_hub tells its progress to a bar class of tqdm's kind; this is one that stays silent.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from tqdm.std import tqdm  # type: ignore[import-untyped]  # comes with huggingface_hub


@contextmanager
def without_bars() -> Iterator[None]:
    """The hub library's own bars are off inside; afterwards they are as they were."""
    was_silent = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not was_silent:
            enable_progress_bars()


def byte_counter(on_progress: Callable[[int, int], None] | None) -> type[Any]:
    """A silent bar class that calls `on_progress(done, total)` for bytes written to disk."""

    class ByteCounter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # Hugging Face's own keyword, which tqdm refuses
            # One bar counts files, one bytes on the wire, one bytes on disk; the last is wanted.
            is_wire = kwargs.get("desc") == "Downloading bytes"
            self._counts = kwargs.get("unit") == "B" and not is_wire
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            """Count, and tell."""
            self.n += n or 0
            if self._counts and on_progress is not None:
                on_progress(int(self.n), int(self.total or 0))
            return None

    return ByteCounter
