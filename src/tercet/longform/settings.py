"""What a caller may ask of a transcription, checked once, before any audio is opened."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tercet.audio.vad import VadOptions
from tercet.decoding.fallback import FallbackPolicy
from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError
from tercet.longform.tracks import Channel, MelFloor
from tercet.results import Progress

LATER = ("sequential", "chunked")  # OpenAI's and Hugging Face's long-form algorithms


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Checked options of one call. The names are openai-whisper's and faster-whisper's where they have one."""

    decode: DecodeOptions
    policy: FallbackPolicy
    seed: int
    batch_size: int
    vad: VadOptions | None
    mel_floor: MelFloor
    channel: Channel
    sampling_rate: int | None
    on_progress: Callable[[Progress], None] | None = None
    should_cancel: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise OptionError(f"seed is {self.seed!r}; give a whole number from 0 on")
        if self.mel_floor not in ("window", "file"):
            raise OptionError(f"mel_floor is {self.mel_floor!r}; give 'window' or 'file'")


def check_count(name: str, value: object) -> None:
    """A positive whole number.

    Raises:
        OptionError: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1024:
        raise OptionError(f"{name} is {value!r}; give a whole number from 1 to 1024")


def check_longform(name: str) -> None:
    """Only `parallel` exists so far.

    Raises:
        OptionError: another name.
    """
    if name in LATER:
        raise OptionError(f"longform {name!r} comes in a later release; use 'parallel'")
    if name != "parallel":
        raise OptionError(f"longform is {name!r}; give 'parallel'")


def temperatures_of(temperature: float | Sequence[float]) -> tuple[float, ...]:
    """One temperature, or those to try one after the other.

    Raises:
        OptionError: none, or a negative or non-finite one.
    """
    given = (temperature,) if isinstance(temperature, int | float) else tuple(temperature)
    if not given or not all(isinstance(t, int | float) and 0 <= t < math.inf for t in given):
        raise OptionError(f"temperature is {temperature!r}; give one or several numbers from 0 on")
    return tuple(float(t) for t in given)


def vad_of(vad_filter: bool, parameters: Mapping[str, object] | None) -> VadOptions | None:
    """Voice detection as faster-whisper's `vad_filter` and `vad_parameters` say it.

    Raises:
        OptionError: parameters without the filter, an unknown one, or nonsense.
    """
    if not vad_filter:
        if parameters:
            raise OptionError("vad_parameters are given, but vad_filter is off; switch it on")
        return None
    return VadOptions.from_mapping(parameters or {})
