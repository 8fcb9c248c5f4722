"""Transcripts as text: txt, srt, vtt, tsv, json, jsonl. Returns strings; opens no file.

The first five equal openai-whisper's writers byte for byte. Where they differ:

- a line break inside a segment becomes a space, since it would break a cue or a table row;
- JSON has Tercet's keys after Whisper's, and a number that JSON cannot hold (NaN) is null.

jsonl is Tercet's own: one segment per line.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tercet.errors import OptionError
from tercet.results import Segment, Transcript

FORMATS = ("txt", "srt", "vtt", "tsv", "json", "jsonl")


def render(transcript: Transcript, format_name: str) -> str:
    """The transcript in one of `FORMATS`.

    Times are seconds on the file's clock, rounded to milliseconds. A transcript without segments
    gives the format's empty form: nothing, a header, or a JSON object with an empty list.

    Raises:
        OptionError: no such format.
    """
    writer = _WRITERS.get(format_name)
    if writer is None:
        raise OptionError(f"{format_name!r} is not an output format; choose {', '.join(FORMATS)}")
    return writer(transcript)


def json_object(transcript: Transcript, extra: Mapping[str, str] | None = None) -> str:
    """One JSON object on one line, without a line end. `extra` keys come last."""
    return _dump({**transcript.to_json(), **(extra or {})})


def json_lines(transcript: Transcript, extra: Mapping[str, str] | None = None) -> str:
    """One JSON object per segment and line. Each says the channel, where the transcript has one."""
    channel = {} if transcript.channel is None else {"channel": transcript.channel}
    return "".join(
        _dump({**segment.to_json(), **channel, **(extra or {})}) + "\n"
        for segment in transcript.segments
    )


def timestamp(seconds: float, *, always_hours: bool, decimal_mark: str) -> str:
    """`01:02:03.456`; without `always_hours`, the hours are left out while they are zero."""
    total_ms = max(0, round(seconds * 1000.0))
    rest_s, ms = divmod(total_ms, 1000)
    rest_min, s = divmod(rest_s, 60)
    hours, minutes = divmod(rest_min, 60)
    head = f"{hours:02d}:" if always_hours or hours else ""
    return f"{head}{minutes:02d}:{s:02d}{decimal_mark}{ms:03d}"


def _one_line(segment: Segment) -> str:
    # Differs from openai/whisper: a line break inside a segment becomes a space
    # (test_captions.py pins it). Other text passes unchanged, as there.
    text = segment.text.strip()
    return " ".join(text.split("\n")) if "\n" in text else text


def _cues(transcript: Transcript, *, always_hours: bool, mark: str) -> Iterator[tuple[str, str]]:
    for segment in transcript.segments:
        start = timestamp(segment.start, always_hours=always_hours, decimal_mark=mark)
        end = timestamp(segment.end, always_hours=always_hours, decimal_mark=mark)
        yield f"{start} --> {end}", _one_line(segment).replace("-->", "->")


def _txt(transcript: Transcript) -> str:
    return "".join(f"{_one_line(segment)}\n" for segment in transcript.segments)


def _srt(transcript: Transcript) -> str:
    cues = _cues(transcript, always_hours=True, mark=",")
    return "".join(f"{n}\n{times}\n{text}\n\n" for n, (times, text) in enumerate(cues, start=1))


def _vtt(transcript: Transcript) -> str:
    cues = _cues(transcript, always_hours=False, mark=".")
    return "WEBVTT\n\n" + "".join(f"{times}\n{text}\n\n" for times, text in cues)


def _tsv(transcript: Transcript) -> str:
    rows = (
        (round(1000 * part.start), round(1000 * part.end), _one_line(part).replace("\t", " "))
        for part in transcript.segments
    )
    return "start\tend\ttext\n" + "".join(f"{start}\t{end}\t{text}\n" for start, end, text in rows)


def _dump(value: dict[str, Any]) -> str:
    # ASCII only, as openai-whisper: U+2028 or U+0085 in a text would end a line for some readers.
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    """The same value with NaN and infinities, which JSON does not know, as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


_WRITERS: dict[str, Callable[[Transcript], str]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
    "json": json_object,
    "jsonl": json_lines,
}
