"""One row of a manifest: what a file's columns and keys become, and all that can be wrong with them.

Whether the recording can be decoded is found out when it is heard.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tercet.audio.archives import is_recording

# What files call a field -> the field. Anything else goes to `Row.extra`.
NAMES = {
    "audio": "audio",
    "path": "audio",
    "file": "audio",
    "filename": "audio",
    "wav": "audio",
    "audio_path": "audio",
    "start_s": "start_s",
    "start": "start_s",
    "offset": "start_s",
    "duration_s": "duration_s",
    "duration": "duration_s",
    "end_s": "end_s",
    "end": "end_s",
    "text": "text",
    "sentence": "text",
    "transcript": "text",
    "transcription": "text",
    "normalized_text": "text",
    "raw_text": "text",
    "labels": "labels",
    "label": "labels",
    "events": "events",
    "speaker": "speaker",
    "speaker_id": "speaker",
    "client_id": "speaker",
    "language": "language",
    "lang": "language",
    "split": "split",
}
_SEPARATORS = (";", "|")  # between the labels in one cell; a comma is part of AudioSet's names

# Facts of the recording that a sample was cut from, not of the sample.
_OF_THE_WHOLE = frozenset({"audio", "start_s", "end_s"})

Event = tuple[float, float, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recording, or a part of one, and what is known about it."""

    audio: Path
    start_s: float = 0.0
    duration_s: float | None = None  # None: to the end
    text: str | None = None
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()  # start_s, end_s (in the part), label
    speaker: str | None = None
    language: str | None = None
    split: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # the file's other columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What rows are checked against."""

    root: Path  # relative paths start here
    labels: Collection[str] | None = None  # those that may occur; None: any
    names: Mapping[str, str] = field(default_factory=dict)  # an identifier ("/m/09x0r") -> its name
    has_audio: Callable[[Path], bool] = is_recording


def build_row(told: Mapping[str, Any], known: Known) -> tuple[Row | None, list[str]]:
    """A row out of a file's values.

    Returns:
        The row, and what is wrong with it; None where anything is.
    """
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in told.items():
        target = NAMES.get(name)
        if target is None:
            extra[name] = value
        elif value is not None and value != "" and target not in values:
            values[target] = value
    faults: list[str] = []
    audio = _audio(values.get("audio"), known, faults)
    start_s, duration_s = _times(values, faults)
    labels = tuple(
        _label(name, known, faults) for name in _names(values.get("labels"), "labels", faults)
    )
    events = _events(values.get("events"), known, faults)
    texts = {name: _text(values.get(name), name, faults) for name in _TEXTS}
    if faults or audio is None:
        return None, faults
    row = Row(
        audio=audio,
        start_s=start_s,
        duration_s=duration_s,
        labels=labels,
        events=events,
        extra=extra,
        **texts,
    )
    return row, []


def beside_sound(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a data set says beside a recording that it holds itself, as a manifest's values.

    Which part of another recording it was, and numbers in place of labels, become extra columns.
    """
    found = {}
    for name, value in facts.items():
        target = NAMES.get(name)
        is_number = target == "labels" and isinstance(value, int | float)
        is_apart = target in _OF_THE_WHOLE or is_number or name == "source"
        found[f"original_{name}" if is_apart else name] = value
    return found


_TEXTS = ("text", "speaker", "language", "split")


def _audio(value: Any, known: Known, faults: list[str]) -> Path | None:
    if not isinstance(value, str):
        faults.append("names no audio file (column audio or path)")
        return None
    path = known.root / value
    if not known.has_audio(path):
        faults.append(f"no such file: {path}")
        return None
    return path


def _times(values: Mapping[str, Any], faults: list[str]) -> tuple[float, float | None]:
    numbers: dict[str, float] = {}
    for name in ("start_s", "duration_s", "end_s"):
        if name in values:
            number = _number(values[name])
            if number is None:
                faults.append(f"{name} is {values[name]!r}, not a number of seconds")
            else:
                numbers[name] = number
    start_s = numbers.get("start_s", 0.0)
    duration_s = numbers.get("duration_s")
    if duration_s is None and "end_s" in numbers:
        duration_s = numbers["end_s"] - start_s
    if start_s < 0:
        faults.append(f"starts at {start_s:g} s; give 0 or more")
    if duration_s is not None and duration_s <= 0:
        faults.append(f"lasts {duration_s:g} s; give more than 0")
    return start_s, duration_s


def _events(value: Any, known: Known, faults: list[str]) -> tuple[Event, ...]:
    parsed = _parsed(value) if isinstance(value, str) else value
    if parsed is None:
        return ()
    if not isinstance(parsed, list):
        faults.append("events are no list of [start_s, end_s, label]")
        return ()
    found = []
    for each in parsed:
        if isinstance(each, Mapping):
            parts = [each.get("start_s"), each.get("end_s"), each.get("label")]
        else:
            parts = list(each) if isinstance(each, list | tuple) else []
        if len(parts) != 3 or not isinstance(parts[2], str):
            faults.append(f"event {each!r} is not [start_s, end_s, label]")
            continue
        start_s, end_s = _number(parts[0]), _number(parts[1])
        if start_s is None or end_s is None or not 0 <= start_s < end_s:
            faults.append(f"event {each!r} has no start before its end, from 0 s on")
            continue
        found.append((start_s, end_s, _label(parts[2], known, faults)))
    return tuple(found)


def _names(value: Any, name: str, faults: list[str]) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        parsed = _parsed(value) if value.lstrip().startswith("[") else None
        if parsed is None:
            separator = next((each for each in _SEPARATORS if each in value), None)
            parts = value.split(separator) if separator else [value]
            return [part.strip() for part in parts if part.strip()]
        value = parsed
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        faults.append(f"{name} are {value!r}, not names")
        return []
    return list(value)


def _label(name: str, known: Known, faults: list[str]) -> str:
    name = known.names.get(name, name)
    if known.labels is not None and name not in known.labels:
        close = get_close_matches(name, known.labels, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        faults.append(f"unknown label {name!r}{hint}")
    return name


def _text(value: Any, name: str, faults: list[str]) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if name != "text" and isinstance(value, int):
        return str(value)  # speakers are numbered in many corpora
    faults.append(f"{name} is {value!r}, not a text")
    return None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
