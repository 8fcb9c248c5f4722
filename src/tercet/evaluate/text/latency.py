"""How long a model takes for a recording: Distil-Whisper's protocol, with a warm-up and medians."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from tercet.dataset.manifests import Row
from tercet.errors import TercetError
from tercet.evaluate.recordings import RATE_HZ, samples_of
from tercet.listener import Model

BATCHES = (1, 4, 16)
RECORDINGS = 256  # the first ones, as Distil-Whisper measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Batches of one size."""

    batch: int
    recordings: int
    median_s: float  # of a batch, from samples in memory to its texts
    rtfx: float  # seconds of sound by seconds of all batches


def measure_latency(
    model: Model,
    rows: Sequence[Row],
    *,
    language: str | None,
    batches: Sequence[int] = BATCHES,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Latency, ...]:
    """Time batches of recordings, one after the other, greedily and without timestamps.

    Distil-Whisper (arXiv:2311.00430, sec. 4) measured the time of 256 samples in batches of 1, 4 and 16
    without a warm-up. Here each size is warmed up with its first batch, which is then timed again, and the
    median batch is told beside the sum.

    Args:
        model: Any.
        rows: Whose recordings are heard; the first `RECORDINGS` of them.
        language: Of all; None: each row's own, or what is heard.
        batches: Recordings that are given at once.
        on_progress: Called with the batches done and all of them.

    Raises:
        AudioError: a recording cannot be heard.
    """
    chosen = rows[:RECORDINGS]
    groups = {n: [chosen[at : at + n] for at in range(0, len(chosen), n)] for n in batches}
    total = sum(map(len, groups.values()))
    done = 0
    found = []
    for n, some in groups.items():
        _time(model, some[0], language)
        times, sound_s = [], 0.0
        for rows_together in some:
            took_s, heard_s = _time(model, rows_together, language)
            times.append(took_s)
            sound_s += heard_s
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        found.append(
            Latency(
                batch=n,
                recordings=len(chosen),
                median_s=median(times),
                rtfx=sound_s / sum(times),
            )
        )
    return tuple(found)


def _time(model: Model, rows: Sequence[Row], language: str | None) -> tuple[float, float]:
    """Seconds that a batch took, and seconds of its sound; reading files is not timed."""
    sounds = [samples_of(row) for row in rows]
    began_s = perf_counter()
    for _, outcome in model.transcribe_many(
        sounds,
        sampling_rate=RATE_HZ,
        language=language or rows[0].language,
        temperature=(0.0,),
        without_timestamps=True,
        batch_size=len(rows),
    ):
        if isinstance(outcome, TercetError):
            raise outcome
    return perf_counter() - began_s, sum(sound.size for sound in sounds) / RATE_HZ
