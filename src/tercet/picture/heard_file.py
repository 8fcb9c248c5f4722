"""A finished JSON of `tercet listen` (or of openai-whisper) as a result again. Frame scores are not in it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tercet.errors import AudioError, AudioUnreadableError
from tercet.results import Hearing, Segment, SoundEvent, SoundEvents, SpeechTokens, Transcript

_READINGS = ("segments", "sound_events", "speech_tokens")
_MOST_BYTES = 256 << 20  # a day of speech with its codes has a tenth of it


def read_heard(path: Path) -> Hearing:
    """Read a result back.

    Raises:
        AudioError: the file is none, or damaged.
        AudioUnreadableError: it cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _refusal(path, f"it is larger than {_MOST_BYTES >> 20} MB")
        value = json.loads(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AudioUnreadableError(f"{path}: cannot be read: {reason}") from None
    except (ValueError, RecursionError):
        raise _refusal(path, "it is no JSON") from None
    if not isinstance(value, dict) or not any(name in value for name in _READINGS):
        raise _refusal(path, f"it has none of {', '.join(_READINGS)}")
    try:
        return _hearing(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise _refusal(path, " ".join(what.split())) from None


def _refusal(path: Path, why: str) -> AudioError:
    return AudioError(f"{path}: is no result of tercet listen -f json ({why}); hear it again")


def _hearing(value: Mapping[str, Any]) -> Hearing:
    segments = _segments(value["segments"]) if "segments" in value else None
    events = _events(value["sound_events"]) if "sound_events" in value else None
    tokens = _tokens(value["speech_tokens"]) if "speech_tokens" in value else None
    # openai-whisper's has no length.
    ends = [*(each.end for each in segments or ()), *(each.end_s for each in events or ())]
    duration_s = _number(value.get("duration_s", max(ends, default=0.0)))
    transcript = None
    if segments is not None:
        transcript = Transcript(
            text=str(value.get("text", "")),
            segments=segments,
            language=str(value.get("language", "und")),
            language_probability=None,
            duration_s=duration_s,
        )
    return Hearing(
        transcript=transcript,
        tags=None if events is None else _sounds(events, duration_s),
        speech_tokens=tokens,
        duration_s=duration_s,
        encoder_passes=(),
    )


def _segments(rows: Sequence[Mapping[str, Any]]) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            id=n,
            seek=0,
            start=_number(row["start"]),
            end=max(_number(row["end"]), _number(row["start"])),
            text=str(row["text"]),
            tokens=(),
            temperature=0.0,
            avg_logprob=0.0,
            compression_ratio=0.0,
            no_speech_prob=0.0,
        )
        for n, row in enumerate(rows)
    )


def _events(rows: Sequence[Mapping[str, Any]]) -> tuple[SoundEvent, ...]:
    """Events with columns of their own: the file's are a head's, which is not here."""
    columns: dict[str, int] = {}
    return tuple(
        SoundEvent(
            start_s=_number(row["start_s"]),
            end_s=max(_number(row["end_s"]), _number(row["start_s"])),
            label=str(row["label"]),
            score=min(1.0, max(0.0, _number(row["score"]))),
            label_id=columns.setdefault(str(row["label"]), len(columns)),
        )
        for row in rows
    )


def _sounds(events: tuple[SoundEvent, ...], duration_s: float) -> SoundEvents:
    labels = tuple(dict.fromkeys(event.label for event in events))
    frames = np.zeros((0, len(labels)), np.float32)
    return SoundEvents(events=events, frames=frames, labels=labels, duration_s=duration_s)


def _tokens(value: Mapping[str, Any]) -> SpeechTokens:
    depth = int(value.get("depth", 1))
    windows = [np.asarray(each["ids"], np.int32) for each in value["windows"]]
    empty = np.zeros((0,) if depth == 1 else (0, depth), np.int32)
    ids = np.concatenate([empty, *(each for each in windows if each.size)])
    if ids.ndim != empty.ndim:
        raise ValueError(f"ids of depth {depth} have the shape {list(ids.shape)}")
    starts = np.cumsum([0, *map(len, windows[:-1])])
    return SpeechTokens(
        ids=ids,
        codebook_size=int(value["codebook_size"]),
        codebook=str(value.get("codebook", "")),
        rate_hz=_positive(value["rate_hz"]),
        start_s=_number(value.get("start_s", 0.0)),
        duration_s=_number(value.get("duration_s", 0.0)),
        window_starts=tuple(map(int, starts)),
        mask_code=value.get("mask_code"),
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no time")
    return number


def _positive(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"rate_hz is {value!r}")
    return number
