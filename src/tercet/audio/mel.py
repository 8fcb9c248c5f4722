"""Log-mel spectrograms in NumPy, equal to openai-whisper's. No files, no windows, no torch.

Every function takes mono float32 at 16 kHz. A frame is 10 ms.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

import numpy as np

from tercet.errors import OptionError

RATE_HZ = 16000
HOP_SAMPLES = 160  # 10 ms, one frame
FFT_SAMPLES = 400  # 25 ms, one Hann window
EDGE_SAMPLES = (
    FFT_SAMPLES // 2
)  # reflected on each side, so that frame i is centred on sample 160 i
WINDOW_SAMPLES = 30 * RATE_HZ  # what stock Whisper encodes at once

_POWER_FLOOR = 1e-10  # keeps log10 finite in digital silence
SILENCE_LOG10 = -10.0  # what that gives
_RANGE_LOG10 = 8.0  # what lies more than 80 dB under the maximum is raised to there
_SLANEY_KNEE_HZ = 1000.0  # the mel scale is linear below and logarithmic above
_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _SLANEY_KNEE_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    above = float(np.log(hz / _SLANEY_KNEE_HZ)) / _SLANEY_LOG_STEP
    return float(_SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL + above)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    knee = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_KNEE_HZ * np.exp(_SLANEY_LOG_STEP * (mel - knee))
    hz: np.ndarray = np.where(mel < knee, mel * _SLANEY_HZ_PER_MEL, above)
    return hz


@cache
def mel_filters(n_mels: int) -> np.ndarray:
    """Triangular filters on Slaney's mel scale (Auditory Toolbox, 1998), 0 to 8000 Hz, of equal area.

    Returns float32 [n_mels, 201], read-only.

    Raises:
        OptionError: `n_mels` is neither 80 nor 128 (large-v3 and turbo).
    """
    if n_mels not in (80, 128):
        raise OptionError(f"n_mels is {n_mels}; Whisper models have 80 or 128.")
    corners = _mel_to_hz(np.linspace(0.0, _hz_to_mel(RATE_HZ / 2), n_mels + 2))
    bins = np.linspace(0.0, RATE_HZ / 2, FFT_SAMPLES // 2 + 1)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    triangles: np.ndarray = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    filters = triangles.astype(np.float32)
    filters.setflags(write=False)
    return filters


@cache
def _hann() -> np.ndarray:
    """The periodic Hann window, float32 [400]."""
    phase = np.arange(FFT_SAMPLES) * (2.0 * np.pi / FFT_SAMPLES)
    hann: np.ndarray = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return hann


def _log_power(padded: np.ndarray, n_frames: int, n_mels: int) -> np.ndarray:
    """log10 of the mel power of frames that start at 0, 160, ... : float32 [n_mels, n_frames]."""
    if n_frames <= 0:
        return np.zeros((n_mels, 0), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)
    spectrum = np.fft.rfft(frames[: n_frames * HOP_SAMPLES : HOP_SAMPLES] * _hann(), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
    mel = mel_filters(n_mels) @ power.T
    log: np.ndarray = np.log10(np.maximum(mel, np.float32(_POWER_FLOOR)))
    return log


def log_mel(
    samples: np.ndarray,
    *,
    n_mels: int = 80,
    pad_to: int | None = WINDOW_SAMPLES,
    pad_value: float | None = None,
    floor_max: float | None = None,
) -> np.ndarray:
    """The encoder's input (Whisper, arXiv:2212.04356, section 2.2).

    `samples` is float32 [n], mono, 16 kHz, in [-1, 1]. It is padded with zeros, or cut, to `pad_to` samples;
    None leaves its length. There is one frame per whole 160 samples; frame i is centred on sample 160 i, with
    the sound reflected at both ends. Reflection needs 201 samples: shorter sound (unpadded) is reflected as
    if zeros followed it up to there, and still gives n // 160 frames, that is none or one.

    `pad_value` None lets the padding be heard as silence (openai-whisper's `decode` on a padded clip,
    transformers); a number stands in all frames behind the sound instead. openai-whisper's `transcribe` and
    faster-whisper have 0.0 there, which base hears better (docs/EXPERIMENTS.md).

    Values under the maximum minus 8 (log10 of power) are raised to there; then all are shifted and scaled by
    (x + 4) / 4. The maximum is this window's own, or `floor_max` (see `log_mel_maximum`). It never spans a
    batch.

    Returns float32 [n_mels, frames].

    Raises:
        OptionError: `n_mels` is neither 80 nor 128, or `samples` is not one-dimensional.
    """
    if samples.ndim != 1:
        raise OptionError(f"log_mel takes one channel [n], not shape {list(samples.shape)}.")
    sound = samples.astype(np.float32, copy=False)[:pad_to]
    heard_frames = sound.size // HOP_SAMPLES
    wanted_frames = (sound.size if pad_to is None else pad_to) // HOP_SAMPLES
    if pad_to is not None:
        # Where a number will stand behind the sound, silence is computed no further than sound reaches.
        end = pad_to if pad_value is None else min(pad_to, sound.size + 2 * FFT_SAMPLES)
        sound = np.pad(sound, (0, max(0, end - sound.size)))
    n_frames = sound.size // HOP_SAMPLES
    if sound.size <= EDGE_SAMPLES:
        sound = np.pad(sound, (0, EDGE_SAMPLES + 1 - sound.size))
    log = _log_power(np.pad(sound, EDGE_SAMPLES, mode="reflect"), n_frames, n_mels)
    if log.size:
        raise_and_scale(log, float(log.max()) if floor_max is None else floor_max)
    if pad_value is not None:
        log = np.pad(log, ((0, 0), (0, wanted_frames - n_frames)))
        log[:, heard_frames:] = pad_value
    return log


def log_mel_maximum(
    blocks: Iterable[np.ndarray], *, n_mels: int = 80, edge: Literal["zeros", "reflect"] = "zeros"
) -> float:
    """The largest log10 mel power in a whole recording, for `log_mel(..., floor_max=)`.

    openai-whisper's `transcribe` floors every window at the whole file's maximum, after 30 s of zeros at the
    file's end; so does this, one block at a time. `blocks` are float32 [n], of any lengths.
    An empty recording gives -10, digital silence. `edge` "reflect": of `log_mel(..., pad_to=None)`, which
    has the sound reflected there and frames for its whole 160 samples alone (ichigo_asr).

    Raises:
        OptionError: `n_mels` is neither 80 nor 128.
    """
    logs = log_power_of_blocks(blocks, n_mels=n_mels, edge=edge)
    return max((float(log.max()) for log in logs), default=SILENCE_LOG10)


def log_power_of_blocks(
    blocks: Iterable[np.ndarray], *, n_mels: int = 80, edge: Literal["zeros", "reflect"] = "zeros"
) -> Iterator[np.ndarray]:
    """log10 of the mel power of a whole recording with zeros behind it, neither raised nor scaled.

    `blocks` are float32 [n], of any lengths. Yields consecutive float32 [n_mels, frames], frames > 0, each as
    soon as its sound is there; at the end all frames that hear any sound, which are one or two more than
    samples // 160. With `edge` "reflect" they are samples // 160, and the end is reflected.

    Raises:
        OptionError: `n_mels` is neither 80 nor 128.
    """
    held = np.zeros(0, np.float32)
    is_start = True
    n_samples = n_done = 0
    for block in blocks:
        n_samples += block.size
        held = np.concatenate([held, block.astype(np.float32, copy=False)])
        if is_start:
            if held.size <= EDGE_SAMPLES:
                continue
            held = np.pad(held, (EDGE_SAMPLES, 0), mode="reflect")
            is_start = False
        n_frames = (held.size - FFT_SAMPLES) // HOP_SAMPLES + 1
        if n_frames > 0:
            yield _log_power(held, n_frames, n_mels)
            held = held[n_frames * HOP_SAMPLES :]
            n_done += n_frames
    if (
        is_start
    ):  # all of it is shorter than what reflection needs; the zeros after it make up for that
        held = np.pad(held, (0, EDGE_SAMPLES + 1 - held.size))
        held = np.pad(held, (EDGE_SAMPLES, 0), mode="reflect")
    if edge == "reflect":
        n_left = n_samples // HOP_SAMPLES - n_done
        if n_left > 0:
            yield _log_power(np.pad(held, (0, EDGE_SAMPLES), mode="reflect"), n_left, n_mels)
        return
    tail = np.pad(held, (0, FFT_SAMPLES))
    yield _log_power(tail, (tail.size - FFT_SAMPLES) // HOP_SAMPLES + 1, n_mels)


def raise_and_scale(log: np.ndarray, maximum: float) -> np.ndarray:
    """The encoder's units, in place: values under `maximum` - 8 are raised to there, then (x + 4) / 4.

    `log` is float32, log10 of mel power.
    """
    np.maximum(log, np.float32(maximum - _RANGE_LOG10), out=log)
    log += np.float32(4.0)
    log /= np.float32(4.0)
    return log
