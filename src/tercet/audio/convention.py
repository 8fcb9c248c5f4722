"""What an encoder is given around a window's sound: the log-mel that stands behind it, and its floor.

Every head was trained behind one such convention. Heads that share the text's share its encoder pass;
another convention costs a pass of its own. Nothing is encoded here.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tercet.audio.mel import HOP_SAMPLES, WINDOW_SAMPLES, log_mel
from tercet.errors import OptionError

MelFloor = Literal["window", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputConvention:
    """How a window's sound becomes the encoder's input.

    The default is the pass that text is read from: openai-whisper's `transcribe()` and faster-whisper.
    """

    # In log-mel units, in all frames behind the sound; None: silence, heard as sound (whisper-at's package).
    padding: float | None = 0.0
    # What the last frames of the sound see behind it: zeros, or the sound reflected (Ichigo computes the
    # log-mel of the clip alone, and pads the result).
    edge: Literal["zeros", "reflect"] = "zeros"
    # Where the loudest value is taken from, 80 dB under which everything is raised.
    mel_floor: MelFloor = "window"
    # "30s": every window is padded to 30 s; "sound": it is as long as its sound (Whisper-AT's training).
    length: Literal["30s", "sound"] = "30s"

    def __post_init__(self) -> None:
        allowed: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
            ("edge", self.edge, ("zeros", "reflect")),
            ("mel_floor", self.mel_floor, ("window", "file")),
            ("length", self.length, ("30s", "sound")),
        )
        for name, value, values in allowed:
            if value not in values:
                raise OptionError(f"{name} is {value!r}; give {' or '.join(values)}")
        if self.padding is not None and not np.isfinite(self.padding):
            raise OptionError(f"padding is {self.padding!r}; give a number, or None for silence")

    def to_json(self) -> dict[str, object]:
        """A form for file metadata."""
        return {
            "padding": self.padding,
            "edge": self.edge,
            "mel_floor": self.mel_floor,
            "length": self.length,
        }


SHARED = InputConvention()  # the text's
TRUE_LENGTH = InputConvention(
    length="sound"
)  # text's, of a model that learnt to do without padding
WHISPER_AT = InputConvention(padding=None, mel_floor="file")  # the released package's
WHISPER_AT_TRAINING = InputConvention(length="sound")  # the published training's (clips of 10 s)
ICHIGO = InputConvention(padding=-1.5, edge="reflect")  # ichigo_asr's and WhisperSpeech's inference


def window_mel(
    samples: np.ndarray,
    convention: InputConvention,
    *,
    n_mels: int,
    floor_max: float | None = None,
) -> np.ndarray:
    """The encoder's input for one window: float32 [n_mels, frames], 100 per second, an even number.

    Args:
        samples: float32 [1..480000], mono, 16 kHz.
        convention: See `InputConvention`.
        n_mels: 80 or 128.
        floor_max: The file's loudest log10 mel power, which `mel_floor` "file" needs.

    Raises:
        OptionError: `floor_max` is missing where it is needed.
    """
    if convention.mel_floor == "file" and floor_max is None:
        raise OptionError("mel_floor 'file' needs the file's loudest value")
    floor = floor_max if convention.mel_floor == "file" else None
    frames = WINDOW_SAMPLES // HOP_SAMPLES
    if convention.length == "sound":
        frames = min(frames, max(2, -(-samples.size // (2 * HOP_SAMPLES)) * 2))
    if convention.edge == "zeros":
        pad_to = frames * HOP_SAMPLES
        return log_mel(
            samples, n_mels=n_mels, pad_to=pad_to, pad_value=convention.padding, floor_max=floor
        )
    sound = log_mel(samples, n_mels=n_mels, pad_to=None, floor_max=floor)[:, :frames]
    padding = 0.0 if convention.padding is None else convention.padding
    return np.pad(
        sound, ((0, 0), (0, frames - sound.shape[1])), constant_values=np.float32(padding)
    )
