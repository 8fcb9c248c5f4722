"""What a caller may ask of a transcription, checked once, before any audio is opened."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from tercet.audio.chunks import ChunkPlan
from tercet.audio.convention import MelFloor
from tercet.audio.vad import VadOptions
from tercet.decoding.fallback import FallbackPolicy
from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError
from tercet.longform.tracks import Channel
from tercet.results import Progress

LONGFORMS = ("parallel", "chunked")
LATER = ("sequential",)  # OpenAI's long-form algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Checked options of one call, named as openai-whisper and faster-whisper name them."""

    decode: DecodeOptions
    policy: FallbackPolicy
    seed: int
    batch_size: int
    vad: VadOptions | None
    gate: bool | str = "auto"  # on where a tag head knows speech
    mel_floor: MelFloor
    channel: Channel
    sampling_rate: int | None
    overlap: bool = True  # encode in one thread while another decodes
    chunks: ChunkPlan | None = None  # `longform` "chunked"; None: windows cut in pauses
    match: str | None = None  # "hf": chunks heard and merged as in transformers' pipeline
    is_live: bool = False  # somebody waits for the first words: begin with small batches
    on_progress: Callable[[Progress], None] | None = None
    should_cancel: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        _check_seed(self.seed)
        if self.mel_floor not in ("window", "file"):
            raise OptionError(f"mel_floor is {self.mel_floor!r}; give 'window' or 'file'")
        if self.channel not in ("mean", "each") and not _is_whole(self.channel, 0):
            raise OptionError(
                f"channel is {self.channel!r}; give 'mean', 'each' or a number from 0 on"
            )
        if not isinstance(self.gate, bool) and self.gate != "auto":
            raise OptionError(f"gate is {self.gate!r}; give True, False or 'auto'")
        for name in ("on_progress", "should_cancel"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise OptionError(f"{name} is {function!r}; give a function, or None")


def check_count(name: str, value: object) -> None:
    """A positive whole number.

    Raises:
        OptionError: it is something else.
    """
    if not _is_whole(value, 1, 1024):
        raise OptionError(f"{name} is {value!r}; give a whole number from 1 to 1024")


def check_switch(name: str, value: object) -> None:
    """True or False.

    Raises:
        OptionError: it is something else ("no", say, which Python would take for True).
    """
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}; give True or False")


def check_longform(name: str) -> None:
    """One of the ways through long recordings.

    Raises:
        OptionError: another name.
    """
    if name in LATER:
        raise OptionError(
            f"longform {name!r} comes in a later release; use 'parallel' or 'chunked'"
        )
    if name not in LONGFORMS:
        raise OptionError(f"longform is {name!r}; give 'parallel' or 'chunked'")


def temperatures_of(temperature: float | Sequence[float]) -> tuple[float, ...]:
    """One temperature, or those to try one after the other.

    Raises:
        OptionError: none, or a negative or non-finite one.
    """
    is_list = isinstance(temperature, Sequence) and not isinstance(temperature, str)
    given: Sequence[object] = temperature if is_list else (temperature,)  # type: ignore[assignment]
    numbers = [float(t) for t in given if isinstance(t, Real) and not isinstance(t, bool)]
    if not given or len(numbers) < len(given) or not all(0 <= t < math.inf for t in numbers):
        raise OptionError(f"temperature is {temperature!r}; give one or several numbers from 0 on")
    return tuple(numbers)


def vad_of(vad_filter: bool, parameters: Mapping[str, object] | None) -> VadOptions | None:
    """Voice detection as faster-whisper's `vad_filter` and `vad_parameters` say it.

    Raises:
        OptionError: parameters without the filter, an unknown one, or nonsense.
    """
    check_switch("vad_filter", vad_filter)
    if parameters is not None and not isinstance(parameters, Mapping):
        raise OptionError(
            f"vad_parameters is {parameters!r}; give a dictionary of names and values"
        )
    if not vad_filter:
        if parameters:
            raise OptionError("vad_parameters are given, but vad_filter is off; switch it on")
        return None
    return VadOptions.from_mapping(parameters or {})


def _check_seed(seed: object) -> None:
    if not _is_whole(seed, 0):
        raise OptionError(f"seed is {seed!r}; give a whole number from 0 on")


def _is_whole(value: object, low: int, high: float = math.inf) -> bool:
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    return is_integer and low <= value <= high  # type: ignore[operator]
