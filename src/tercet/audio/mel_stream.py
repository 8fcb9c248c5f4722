"""A whole recording's log-mel in consecutive slices, equal to openai-whisper's, in bounded memory.

No windows at pauses and no padding in log-mel units: behind the sound there is silence, heard as sound.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tercet.audio.mel import (
    HOP_SAMPLES,
    SILENCE_LOG10,
    WINDOW_SAMPLES,
    log_power_of_blocks,
    raise_and_scale,
)
from tercet.errors import OptionError

WINDOW_FRAMES = WINDOW_SAMPLES // HOP_SAMPLES  # 3000, of 30 s


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one answer to ==
class MelSlice:
    """Some consecutive frames of 10 ms."""

    start_frame: int  # on the recording's clock
    mel: np.ndarray  # float32 [n_mels, frames], the encoder's units
    real_frames: int  # how many of them are the recording's; behind them there is silence


class _Counted:
    """Blocks that count their samples as they pass."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.samples += block.size
            yield block

    @property
    def frames(self) -> int:
        """Whole frames so far."""
        return self.samples // HOP_SAMPLES


def mel_slices(
    blocks: Iterable[np.ndarray],
    *,
    floor_max: float,
    n_mels: int = 80,
    slice_frames: int = WINDOW_FRAMES,
) -> Iterator[MelSlice]:
    """Cut `whisper.log_mel_spectrogram(audio, n_mels, padding=480000)` into slices, one after the other.

    This is what openai-whisper's `transcribe` (and whisper-at's) encodes when every window is used to its
    end: one log-mel of the file, floored at the file's maximum, with 30 s of zeros behind it. A slice comes
    as soon as its sound is there. A recording of under 160 samples has no frame, and gives no slice.

    Args:
        blocks: float32 [n] of any lengths, mono, 16 kHz.
        floor_max: The file's loudest log10 mel power, `audio.mel.log_mel_maximum`.
        n_mels: 80 or 128.
        slice_frames: Frames of each slice, 1 to 3000; the last slice ends in silence.

    Raises:
        OptionError: `n_mels` or `slice_frames` is not allowed.
    """
    if not 1 <= slice_frames <= WINDOW_FRAMES:
        raise OptionError(f"slice_frames is {slice_frames}; give 1 to {WINDOW_FRAMES}")
    counted = _Counted(blocks)
    held: list[np.ndarray] = []
    n_held = start = 0
    for log in log_power_of_blocks(counted, n_mels=n_mels):
        held.append(log)
        n_held += log.shape[1]
        if n_held < slice_frames:
            continue
        joined = np.concatenate(held, axis=1)
        first = 0
        while n_held - first >= slice_frames and start < counted.frames:
            piece = joined[:, first : first + slice_frames]
            yield _slice(piece, start, counted.frames, floor_max)
            first += slice_frames
            start += slice_frames
        held, n_held = [joined[:, first:].copy()], n_held - first
    if start < counted.frames:
        rest = np.concatenate(held, axis=1)
        missing = slice_frames - rest.shape[1]
        rest = np.pad(rest, ((0, 0), (0, missing)), constant_values=np.float32(SILENCE_LOG10))
        yield _slice(rest, start, counted.frames, floor_max)


def _slice(log: np.ndarray, start: int, recording_frames: int, floor_max: float) -> MelSlice:
    real_frames = min(log.shape[1], recording_frames - start)
    return MelSlice(start, raise_and_scale(log.copy(), floor_max), real_frames)
