"""ichigo's way through long recordings: chunks that end where it is quietest. Opens nothing."""

from collections.abc import Iterable, Iterator
from numbers import Real

import numpy as np

from tercet.audio.arrays import RATE_HZ
from tercet.errors import OptionError

_STEP_S = 0.1  # loudness is measured over 100 ms
_WINDOW_SAMPLES = RATE_HZ // 10
_MOST_SAMPLES = 30 * RATE_HZ  # what an encoder hears at once
_SHORT_SAMPLES = RATE_HZ  # a last chunk shorter than this may join the one before it


def check_chunks(chunk_s: float, overlap_s: float) -> None:
    """Whether recordings can be cut so.

    Differs from ichigo, where a chunk of more than 30 s loses its end without a word, and an overlap as long
    as a chunk never comes to an end.

    Raises:
        OptionError: they cannot.
    """
    for name, value in (("chunk", chunk_s), ("overlap", overlap_s)):
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < np.inf:
            raise OptionError(f"{name} is {value!r}; give seconds")
    if chunk_s + overlap_s > 30 or chunk_s - overlap_s < _STEP_S:
        raise OptionError(
            f"chunk is {chunk_s:g} s and overlap {overlap_s:g} s; overlap must be shorter than chunk, "
            "both together 30 s at most"
        )


def chunks_of(
    blocks: Iterable[np.ndarray], chunk_s: float, overlap_s: float, *, joins_short_end: bool = False
) -> Iterator[np.ndarray]:
    """The chunks of a recording, laid end to end: each sample is in exactly one of them.

    A chunk ends at the beginning of the quietest 100 ms that lie within `overlap_s` of `chunk_s` (the first
    such, counted from the stretch's beginning in steps of 100 ms), and the last one wherever no more than
    `chunk_s` is left. Borders are ichigo's.

    Args:
        blocks: float32 [n], mono, 16 kHz, of any lengths; only a chunk or two of them are kept.
        chunk_s: As `check_chunks` allows.
        overlap_s: Likewise.
        joins_short_end: A last chunk shorter than 1 s joins the one before it (ichigo's `transcribe_tensor`),
            unless that would then be longer than 30 s.
    """
    chunk, overlap = int(chunk_s * RATE_HZ), int(overlap_s * RATE_HZ)
    waiting = iter(blocks)
    held = np.zeros(0, np.float32)
    last: np.ndarray | None = None
    while True:
        held = _filled(held, waiting, max(chunk + overlap, chunk + 1))
        if last is not None and not (joins_short_end and held.size < _SHORT_SAMPLES):
            yield last
            last = None
        if held.size <= chunk:
            break
        cut = quietest(held, chunk - overlap, min(chunk + overlap, held.size))
        last, held = held[:cut], held[cut:]
    if last is not None and last.size + held.size > _MOST_SAMPLES:
        yield last
        last = None
    if last is not None:
        held = np.concatenate([last, held])
    if held.size:
        yield held


def quietest(samples: np.ndarray, start: int, end: int) -> int:
    """Where the quietest 100 ms begin between two samples.

    Differs from ichigo, which fails where less than 100 ms lie between them: the cut is in their middle.
    """
    begins = range(start, end - _WINDOW_SAMPLES, _WINDOW_SAMPLES)
    if not begins:
        return (start + end) // 2
    # In float32, roots included: ties must be ties there, too.
    loudness = [(samples[at : at + _WINDOW_SAMPLES] ** 2).mean() ** 0.5 for at in begins]
    return begins[int(np.argmin(loudness))]


def _filled(held: np.ndarray, waiting: Iterator[np.ndarray], size: int) -> np.ndarray:
    """`held` and what comes after it, at least `size` samples if there are so many."""
    parts, n = [held], held.size
    while n < size and (block := next(waiting, None)) is not None:
        parts.append(block)
        n += block.size
    return np.concatenate(parts) if len(parts) > 1 else held
