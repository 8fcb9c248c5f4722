"""From a job to its windows of sound, with the speech in them. Nothing is encoded here."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from tercet.audio.load import load
from tercet.audio.vad import VadOptions
from tercet.audio.windows import RATE_HZ, Window, windows
from tercet.dataset.label_table import Span
from tercet.dataset.manifests import Row
from tercet.errors import AudioError, EmptyAudioError
from tercet.labelling.jobs import Job

OnFailure = Callable[[AudioError], None]


@dataclass(frozen=True, slots=True)
class LabelWindow:
    """One window on its way to a label."""

    id: str
    job: Job
    window: Window
    spans: tuple[Span, ...]
    previous: str | None
    is_last: bool
    reference: str | None
    reference_of: str | None


def windows_of(
    job: Job, *, gap_s: float, vad: VadOptions, done: Collection[str], on_failure: OnFailure
) -> Iterator[LabelWindow]:
    """The windows of a job that are not done yet, in order.

    Args:
        job: What to open.
        gap_s: Silence between the rows of a pack.
        vad: What counts as speech.
        done: Ids of windows that are labelled already.
        on_failure: Told of a recording that cannot be heard; what else is in the pack, or was heard of the
            recording before, is kept.
    """
    if job.is_one_window:
        if job.id not in done:
            yield from _pack(job, gap_s, vad, on_failure)
        return
    yield from _recording(job, vad, done, on_failure)


def _pack(job: Job, gap_s: float, vad: VadOptions, on_failure: OnFailure) -> Iterator[LabelWindow]:
    gap = np.zeros(round(gap_s * RATE_HZ), np.float32)
    parts: list[np.ndarray] = []
    spans: list[Span] = []
    texts: list[str | None] = []
    at = 0
    for row in job.rows:
        try:
            samples = np.concatenate(list(_stretch(row)))
        except AudioError as error:
            on_failure(error)
            continue
        if parts:
            parts.append(gap)
            at += gap.size
        length_s = samples.size / RATE_HZ
        spans.append(Span(_found_again(row), row.start_s, length_s, at / RATE_HZ))
        parts.append(samples)
        texts.append(row.text)
        at += samples.size
    if not parts:
        return
    # A header may be wrong by some samples: what is longer than a window is cut like a recording.
    found = list(windows([np.concatenate(parts)], vad))
    reference = None if None in texts else " ".join(filter(None, texts))
    for number, window in enumerate(found):
        is_last = number == len(found) - 1
        yield LabelWindow(
            id=job.id if is_last else f"{job.id}-{window.start:09d}",
            job=job,
            window=window,
            spans=tuple(spans) if len(found) == 1 else _within(spans, window),
            previous=job.previous if number == 0 else None,
            is_last=is_last,
            reference=reference if is_last else None,
            reference_of=_whose(reference, is_whole=len(found) == 1) if is_last else None,
        )


def _recording(
    job: Job, vad: VadOptions, done: Collection[str], on_failure: OnFailure
) -> Iterator[LabelWindow]:
    row = job.rows[0]
    previous: str | None = None
    try:
        for window in windows(_stretch(row), vad):
            own = f"{job.id}-{window.start:09d}"
            is_last = window.cut == "end"
            if own not in done:
                span = Span(
                    _found_again(row),
                    row.start_s + window.start_s,
                    window.end_s - window.start_s,
                    0.0,
                )
                reference = row.text if is_last else None
                is_whole = window.start == 0
                yield LabelWindow(
                    own,
                    job,
                    window,
                    (span,),
                    previous,
                    is_last,
                    reference,
                    _whose(reference, is_whole=is_whole),
                )
            previous = own
    except AudioError as error:
        on_failure(error)


def _found_again(row: Row) -> str:
    """The recording's path from anywhere."""
    return str(row.audio.absolute())


def _whose(reference: str | None, *, is_whole: bool) -> str | None:
    if reference is None:
        return None
    return "window" if is_whole else "recording"


def _within(spans: list[Span], window: Window) -> tuple[Span, ...]:
    """The parts of a pack's spans that lie in one of its windows."""
    found = []
    for span in spans:
        start_s = max(span.at_s, window.start_s)
        end_s = min(span.at_s + span.duration_s, window.end_s)
        if start_s < end_s:
            offset_s = start_s - span.at_s
            found.append(
                Span(span.path, span.start_s + offset_s, end_s - start_s, start_s - window.start_s)
            )
    return tuple(found)


def _stretch(row: Row) -> Iterator[np.ndarray]:
    """The row's part of its recording, float32 at 16 kHz, in blocks.

    Raises:
        AudioError: it cannot be heard, or the recording ends before the part begins.
    """
    first = round(row.start_s * RATE_HZ)
    last = None if row.duration_s is None else first + round(row.duration_s * RATE_HZ)
    at, given = 0, False
    with load(row.audio) as recording:
        for block in recording.blocks():
            part = block[max(0, first - at) : None if last is None else max(0, last - at)]
            at += block.size
            if part.size:
                given = True
                yield part
            if last is not None and at >= last:
                break
    if not given:
        raise EmptyAudioError(
            f"{row.audio}: ends at {at / RATE_HZ:.2f} s, before its part at {row.start_s:g} s; "
            "check the manifest"
        )
