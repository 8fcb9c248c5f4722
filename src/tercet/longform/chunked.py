"""`longform="chunked"`: what may be asked of it, checked before any audio is opened. Hears nothing.

Chunks of one length with strides on both sides, as transformers' pipeline has them (Distil-Whisper,
arXiv:2311.00430, section 3.3): `audio.chunks` cuts them, `parallel.py` hears them, `chunk_merge.py` merges
their texts. With `match="hf"`, `hf_chunked.py` does all that as transformers does.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from numbers import Real
from typing import TypeGuard

from tercet.audio.chunks import ChunkPlan
from tercet.audio.windows import LONGEST_SAMPLES, RATE_HZ
from tercet.catalog import known_model
from tercet.decoding.fallback import FallbackPolicy
from tercet.errors import OptionError
from tercet.longform.passes import TEXT
from tercet.longform.settings import ListenSettings

LONGEST_S = LONGEST_SAMPLES / RATE_HZ  # what the encoder hears at once
SHORTEST_S = 1.0
_SHORTEST_HOP_S = 0.1
_STRIDES_PER_CHUNK = 6  # transformers' default: a sixth of a chunk on each side
_HF_MAX_TOKENS = 256  # that its pipeline lets `generate` write for a chunk
_HF_POLICY = FallbackPolicy(
    temperatures=(0.0,),
    compression_ratio_threshold=None,
    logprob_threshold=None,
    no_speech_threshold=None,
)


def chunk_plan(
    longform: str, chunk_length_s: object, stride_length_s: object, *, model: str
) -> ChunkPlan | None:
    """Chunks as a caller wants them; None where `longform` is another.

    Args:
        longform: "parallel" or "chunked".
        chunk_length_s: 1 to 30 seconds; None: what suits the model (30; Distil-Whisper's own for its models).
        stride_length_s: Seconds on each side, or (left, right); None: a sixth of a chunk on each side.
        model: Its name, for `catalog`.

    Raises:
        OptionError: a length is not allowed, or has no effect.
    """
    if longform != "chunked":
        given = {"chunk_length_s": chunk_length_s, "stride_length_s": stride_length_s}
        for name, value in given.items():
            if value is not None:
                raise OptionError(f"{name} has no effect with longform {longform!r}; leave it out")
        return None
    if chunk_length_s is None:
        known = known_model(model)
        chunk_length_s = LONGEST_S if known is None else known.chunk_length_s
    if not _is_number(chunk_length_s) or not SHORTEST_S <= chunk_length_s <= LONGEST_S:
        raise OptionError(
            f"chunk_length_s is {chunk_length_s!r}; give {SHORTEST_S:g} to {LONGEST_S:g} seconds"
        )
    length = round(chunk_length_s * RATE_HZ)
    left, right = (round(s * RATE_HZ) for s in _strides_s(chunk_length_s, stride_length_s))
    if length - left - right < _SHORTEST_HOP_S * RATE_HZ:
        raise OptionError(
            f"stride_length_s is {stride_length_s!r}, which leaves under {_SHORTEST_HOP_S:g} s of a chunk of "
            f"{chunk_length_s:g} s between both sides; give less than half a chunk"
        )
    return ChunkPlan(length=length, left=left, right=right)


def _strides_s(chunk_length_s: float, stride_length_s: object) -> tuple[float, float]:
    if stride_length_s is None:
        return chunk_length_s / _STRIDES_PER_CHUNK, chunk_length_s / _STRIDES_PER_CHUNK
    is_list = isinstance(stride_length_s, Sequence) and not isinstance(stride_length_s, str)
    given: Sequence[object] = stride_length_s if is_list else (stride_length_s, stride_length_s)  # type: ignore[assignment]
    numbers = [float(s) for s in given if _is_number(s) and 0 <= s <= LONGEST_S]
    if len(given) != 2 or len(numbers) != 2:
        raise OptionError(
            f"stride_length_s is {stride_length_s!r}; give seconds from 0 on, or (left, right)"
        )
    return numbers[0], numbers[1]


def check_readings(only: object, readings: Sequence[str]) -> tuple[str, ...]:
    """Text alone, which is all that there is where nothing was asked for.

    Raises:
        OptionError: another reading was asked for.
    """
    others = [reading for reading in readings if reading != TEXT]
    if only is not None and others:
        raise OptionError(
            f"longform 'chunked' hears text alone, and only has {others[0]!r}; leave one of them out"
        )
    return (TEXT,)


def as_hf(settings: ListenSettings, changed: Collection[str]) -> ListenSettings:
    """The settings of transformers' pipeline; `changed` names the options that differ from their defaults.

    The pipeline tries once, greedily, hears everything and judges nothing: what asks for more is refused.

    Raises:
        OptionError: an option would have no effect.
    """
    policy = settings.policy
    is_so_anyway = {
        "temperature": policy.temperatures == (0.0,),
        "compression_ratio_threshold": policy.compression_ratio_threshold is None,
        "logprob_threshold": policy.logprob_threshold is None,
        "no_speech_threshold": policy.no_speech_threshold is None,
        "seed": False,
        "vad_filter": settings.vad is None,
        "vad_parameters": False,
        "gate": settings.gate is False,
        "mel_floor": False,
    }
    for name, is_so in is_so_anyway.items():
        if name in changed and not is_so:
            raise OptionError(
                f"{name} has no effect with match 'hf', which tries once and judges nothing; leave it out"
            )
    return replace(
        settings,
        decode=replace(settings.decode, max_tokens=_HF_MAX_TOKENS),
        policy=_HF_POLICY,
        vad=None,
        gate=False,
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
