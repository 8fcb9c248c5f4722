"""Samples that are in memory already: shapes, number formats, sampling rates. No files, no resampling."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self, cast

import numpy as np

from tercet.errors import (
    ChannelError,
    EmptyAudioError,
    NonFiniteAudioError,
    SampleRateError,
    UndecodableAudioError,
)

RATE_HZ = 16000
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8000, 192000
MOST_CHANNELS = 64
_CHUNK_SAMPLES = 1 << 18

# Full scale of integer PCM. 64-bit integers are left out: nobody records them, and their scale would be a
# guess.
_FULL_SCALE = {"int8": 128.0, "int16": 32768.0, "int32": 2147483648.0, "uint8": 128.0}


@dataclass(frozen=True, slots=True)
class Samples:
    """A recording in memory: `values` [channels, n], of any number format that `to_float` takes."""

    name: str
    values: np.ndarray
    rate_hz: int

    def chunks(self) -> Iterator[tuple[np.ndarray, int]]:
        """float32 [channels, <= 262144] with the sampling rate, in order."""
        for start in range(0, self.values.shape[1], _CHUNK_SAMPLES):
            yield to_float(self.values[:, start : start + _CHUNK_SAMPLES], self.name), self.rate_hz


def from_array(source: object, sampling_rate: object, *, name: str) -> Samples:
    """Take a NumPy array, a torch tensor, or a list of numbers.

    One axis is time. Of two axes, the shorter one holds the channels (the first where both are alike), so
    that both [channels, n] and [n, channels] are understood. No rate means 16 kHz.

    Raises:
        AudioError: not samples, none of them, too many channels, a rate out of range, or NaN among them.
    """
    values = _to_numpy(source, name)
    rate_hz = check_rate(RATE_HZ if sampling_rate is None else sampling_rate, name)
    if values.dtype.name not in _FULL_SCALE and values.dtype.kind != "f":
        raise UndecodableAudioError(
            f"{name}: holds {values.dtype.name}; give floats in [-1, 1], or 8-, 16- or 32-bit integer PCM."
        )
    if values.ndim not in (1, 2):
        raise ChannelError(
            f"{name}: has the shape {list(values.shape)}; give [n] or [channels, n]."
        )
    if values.size == 0:
        raise EmptyAudioError(f"{name}: holds no samples; give at least one.")
    if values.ndim == 1:
        values = values[None, :]
    elif values.shape[0] > values.shape[1]:
        values = values.T
    check_channels(values.shape[0], name)
    samples = Samples(name, values, rate_hz)
    start = 0
    for chunk, _ in samples.chunks():
        check_finite(chunk, start / rate_hz, name)
        start += chunk.shape[1]
    return samples


class _Tensor(Protocol):
    """What is asked of a torch tensor; torch itself is never imported here."""

    def detach(self) -> Self: ...
    def cpu(self) -> Self: ...
    def float(self) -> Self: ...
    def is_floating_point(self) -> bool: ...


def _to_numpy(source: object, name: str) -> np.ndarray:
    kind = type(source).__name__
    if callable(getattr(source, "detach", None)):
        tensor = cast(_Tensor, source).detach().cpu()
        source = tensor.float() if tensor.is_floating_point() else tensor  # NumPy has no bfloat16
    try:
        values = np.asarray(source)
    except (TypeError, ValueError, RuntimeError):
        values = np.asarray(None)
    if values.dtype.kind not in "fiu":
        raise UndecodableAudioError(
            f"{name}: {kind} is not audio; give a path, bytes, a file object or an array of samples."
        )
    return values


def to_float(values: np.ndarray, name: str) -> np.ndarray:
    """Samples as float32; integers are divided by their full scale, so that they lie in [-1, 1).

    Raises:
        UndecodableAudioError: a number format without a known full scale.
    """
    if values.dtype.kind == "f":
        with np.errstate(
            over="ignore"
        ):  # beyond float32 becomes infinite, which is reported as such
            return values.astype(np.float32, copy=False)
    scale = _FULL_SCALE.get(values.dtype.name)
    if scale is None:
        raise UndecodableAudioError(f"{name}: holds {values.dtype.name}; convert it to 16-bit PCM.")
    offset = 128.0 if values.dtype.name == "uint8" else 0.0
    return (values.astype(np.float32) - np.float32(offset)) / np.float32(scale)


def check_rate(rate_hz: object, name: str) -> int:
    """The rate as an int.

    Raises:
        SampleRateError: outside 8000..192000 Hz.
    """
    is_number = isinstance(rate_hz, int | float | np.integer | np.floating) and np.isfinite(rate_hz)
    if not is_number or not LOWEST_RATE_HZ <= cast(float, rate_hz) <= HIGHEST_RATE_HZ:
        raise SampleRateError(
            f"{name}: the sampling rate is {rate_hz} Hz; "
            f"{LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} can be read. Resample it first."
        )
    return round(cast(float, rate_hz))


def check_channels(channels: int, name: str) -> int:
    """The number of channels.

    Raises:
        ChannelError: none, or more than 64.
    """
    if not 1 <= channels <= MOST_CHANNELS:
        raise ChannelError(f"{name}: has {channels} channels; 1 to {MOST_CHANNELS} can be read.")
    return channels


def check_finite(chunk: np.ndarray, start_s: float, name: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        NonFiniteAudioError: with the time of the first second that holds one.
    """
    if not np.isfinite(chunk).all():
        raise NonFiniteAudioError(
            f"{name}: holds NaN or infinite samples (after {start_s:.1f} s); repair or convert it first."
        )
