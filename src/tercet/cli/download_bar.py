"""A bar for bytes that arrive: drawn on stderr, on a terminal only, gone when it is through."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

Move = Callable[[int, int], None]  # bytes done, bytes in all (0: not known)


@contextmanager
def download_bar(name: str, *, quiet: bool) -> Iterator[Move | None]:
    """Gives the callback that moves the bar, which appears with the first byte; None draws nothing."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        move: Move | None = None

        def on_progress(done: int, total: int) -> None:
            nonlocal move
            if move is None:
                move = stack.enter_context(_bar(name))
            move(done, total)

        yield on_progress


@contextmanager
def _bar(name: str) -> Iterator[Move]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=30), DownloadColumn(),
        TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    # Paths are written to stdout as they are: rich must not take it over.
    bar = Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
