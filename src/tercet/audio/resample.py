"""Channels chosen and brought to 16 kHz, chunk by chunk. FFmpeg's resampler does the arithmetic."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import av
import numpy as np

from tercet.audio.arrays import RATE_HZ, check_channels, check_finite, check_rate
from tercet.errors import ChannelError, OptionError

ChannelChoice: TypeAlias = int | Literal["mean", "each"]
Chunks: TypeAlias = Iterator[tuple[np.ndarray, int]]  # float32 [channels, n] and its sampling rate


def check_choice(choice: object, channels: int, name: str) -> None:
    """Refuse a channel that is not there.

    Raises:
        OptionError: neither a whole number, "mean" nor "each".
        ChannelError: the recording has no such channel.
    """
    if choice in ("mean", "each"):
        return
    if isinstance(choice, bool) or not isinstance(choice, int):
        raise OptionError(f"channel is {choice!r}; give 'mean', 'each' or a number from 0 on.")
    if not 0 <= choice < channels:
        only = "only channel 0" if channels == 1 else f"channels 0 to {channels - 1}"
        raise ChannelError(f"{name}: has no channel {choice}; it has {only}.")


def select(chunk: np.ndarray, choice: ChannelChoice, channels: int) -> np.ndarray:
    """The wanted channels of float32 [any, n]: [1, n], or [channels, n] for "each".

    `channels` is the number at the recording's start. Where a stream changes it midway, one channel stands
    for all, missing ones are silent, and those that are too many are left out.
    """
    if choice == "mean":
        mean: np.ndarray = chunk.mean(axis=0, keepdims=True)
        return mean
    if chunk.shape[0] == 1:
        chunk = np.repeat(chunk, channels, axis=0)
    elif chunk.shape[0] < channels:
        chunk = np.pad(chunk, ((0, channels - chunk.shape[0]), (0, 0)))
    return chunk[:channels] if choice == "each" else chunk[choice : choice + 1]


class _OneRate:
    """Resamples one stretch of one sampling rate; its output is as long as its input, to the sample."""

    def __init__(self, rate_hz: int, rows: int) -> None:
        self.rate_hz = rate_hz
        self._rows = rows
        self._taken = 0
        self._given = 0
        # One mono resampler per channel: a layout name would invite FFmpeg to mix them.
        self._resamplers = [
            av.AudioResampler(format="fltp", layout="mono", rate=RATE_HZ) for _ in range(rows)
        ]

    def push(self, chunk: np.ndarray) -> np.ndarray:
        self._taken += chunk.shape[1]
        if self.rate_hz == RATE_HZ:
            return chunk
        out = np.stack([self._one(row, chunk[row]) for row in range(self._rows)])
        self._given += out.shape[1]
        return out

    def finish(self) -> np.ndarray:
        if self.rate_hz == RATE_HZ:
            return np.zeros((self._rows, 0), np.float32)
        rest = np.stack([self._one(row, None) for row in range(self._rows)])
        wanted = round(self._taken * RATE_HZ / self.rate_hz) - self._given
        return np.pad(rest[:, :wanted], ((0, 0), (0, max(0, wanted - rest.shape[1]))))

    def _one(self, row: int, samples: np.ndarray | None) -> np.ndarray:
        frame = None
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[None]), format="fltp", layout="mono"
            )
            frame.rate = self.rate_hz
        pieces = [out.to_ndarray()[0] for out in self._resamplers[row].resample(frame)]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def resampled(
    chunks: Chunks, choice: ChannelChoice, channels: int, name: str
) -> Iterator[np.ndarray]:
    """Pieces of float32 [1 or channels, n] at 16 kHz; every chunk may have its own rate and channel count.

    Raises:
        AudioError: NaN or infinity, a rate out of range, or too many channels midway.
    """
    current: _OneRate | None = None
    start_s = 0.0
    for chunk, rate_hz in chunks:
        check_rate(rate_hz, name)
        check_channels(chunk.shape[0], name)
        check_finite(chunk, start_s, name)
        start_s += chunk.shape[1] / rate_hz
        wanted = select(chunk, choice, channels)
        if current is not None and current.rate_hz != rate_hz:
            yield current.finish()
            current = None
        if current is None:
            current = _OneRate(rate_hz, wanted.shape[0])
        yield current.push(wanted)
    if current is not None:
        yield current.finish()
