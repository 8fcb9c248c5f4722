"""A stretch of a recording: its samples, in bounded memory, and its log-mel as a picture needs it.

The rest of the recording is read past, never held.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tercet.audio.load import load
from tercet.audio.mel import RATE_HZ, log_power_of_blocks
from tercet.errors import OptionError
from tercet.text.timeline import clock

MOST_S = 600.0  # of sound in one picture
_FRAME_SAMPLES = 160  # 10 ms
_BLOCK_SAMPLES = 8 * RATE_HZ
_RANGE_LOG10 = 8.0  # what the encoder hears: 80 dB under the loudest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Excerpt:
    """Sound from `start_s` on, in seconds of the recording's clock."""

    start_s: float
    samples: np.ndarray  # float32 [n], mono, 16 kHz
    total_s: float | None  # of the whole recording; None where nobody knows

    @property
    def end_s(self) -> float:
        """Where it ends."""
        return self.start_s + self.samples.size / RATE_HZ


def read_excerpt(source: str, *, start_s: float, end_s: float) -> Excerpt:
    """Read a stretch of a recording, all channels mixed.

    Args:
        source: A path, or "-" for standard input.
        start_s: Where it begins.
        end_s: Where it ends, unless the recording does earlier. At most `MOST_S` later.

    Raises:
        AudioError: the recording cannot be heard.
        OptionError: it ends before `start_s`, or the stretch is too long or not one.
    """
    if not 0 <= start_s < end_s:
        raise OptionError(
            f"from {start_s:g} to {end_s:g} s is no stretch of sound; give a later end"
        )
    if end_s - start_s > MOST_S:
        raise OptionError(f"a picture shows {MOST_S:g} s at most; choose them with from and to")
    first, last = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
    with load(source) as recording:
        kept: list[np.ndarray] = []
        read, is_whole = 0, True
        for block in recording.blocks():
            kept.append(block[max(0, first - read) : max(0, last - read)].copy())
            read += block.size
            if read > last:
                is_whole = False
                break
        total_s = read / RATE_HZ if is_whole else recording.duration_s
    samples = np.concatenate(kept)
    if not samples.size:
        raise OptionError(
            f"{source}: is {clock(read / RATE_HZ)} long; nothing is left from {start_s:g} s on"
        )
    if total_s is not None:  # a header may say less than there is
        total_s = max(total_s, start_s + samples.size / RATE_HZ)
    return Excerpt(start_s=start_s, samples=samples, total_s=total_s)


def mel_levels(samples: np.ndarray, *, n_mels: int = 80, frames_per_column: int = 2) -> np.ndarray:
    """Log-mel as loudness, float32 [n_mels, columns] in 0..1: 1 is the loudest, 0 is 80 dB below it.

    A column is the mean of `frames_per_column` frames of 10 ms.
    """
    frames = list(log_power_of_blocks(_blocks(samples), n_mels=n_mels))
    wanted = max(1, -(-samples.size // (_FRAME_SAMPLES * frames_per_column)))
    log = np.concatenate(frames, axis=1)[:, : wanted * frames_per_column]
    log = np.pad(log, ((0, 0), (0, wanted * frames_per_column - log.shape[1])), mode="edge")
    log = log.reshape(n_mels, wanted, frames_per_column).mean(axis=2)
    levels: np.ndarray = np.clip((log - log.max()) / _RANGE_LOG10 + 1.0, 0.0, 1.0)
    return levels


def _blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Some seconds at a time, so that the spectra of a long stretch are never all there at once."""
    for first in range(0, samples.size, _BLOCK_SAMPLES):
        yield samples[first : first + _BLOCK_SAMPLES]
