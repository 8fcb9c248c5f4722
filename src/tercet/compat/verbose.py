"""openai-whisper's `verbose=`: what a call tells the terminal while it works. Changes no result."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tercet.results import Progress, Transcript
from tercet.text.captions import timestamp
from tercet.text.languages import LANGUAGES


@contextmanager
def progress_bar(verbose: bool | None) -> Iterator[Callable[[Progress], None] | None]:
    """A callback that moves a bar on standard error, with `verbose=False`; otherwise None."""
    if verbose is not False:
        yield None
        return
    from rich.console import Console  # late: it costs import time
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("transcribe", total=None)
        yield lambda at: bars.update(task, completed=at.done_s, total=at.total_s)


def tell(transcript: Transcript, verbose: bool | None, *, is_detected: bool) -> None:
    """Print the language if it was detected and, with `verbose=True`, the segments with their times."""
    if verbose is None:
        return
    if is_detected and transcript.language in LANGUAGES:
        sys.stdout.write(f"Detected language: {LANGUAGES[transcript.language]}\n")
    for each in transcript.segments if verbose else ():
        start, end = (
            timestamp(s, always_hours=False, decimal_mark=".") for s in (each.start, each.end)
        )
        sys.stdout.write(f"[{start} --> {end}] {each.text}\n")
