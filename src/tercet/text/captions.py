"""Transcripts as text: txt, srt, vtt, tsv, json, jsonl. Returns strings; opens no file.

With sounds (`render_heard`), srt and vtt hold them between and above the lines of speech; where is `sdh.py`'s
business.

The first five equal openai-whisper's writers byte for byte. Where they differ:

- a line break inside a segment becomes a space, since it would break a cue or a table row;
- JSON has Tercet's keys after Whisper's, and a number that JSON cannot hold (NaN) is null.

jsonl is Tercet's own: one segment per line.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tercet.errors import OptionError
from tercet.results import Hearing, Transcript
from tercet.text.sdh import Caption, check_sounds, cues_of, merge
from tercet.text.sound_words import Names

FORMATS = ("txt", "srt", "vtt", "tsv", "json", "jsonl")
WITH_SOUNDS = ("srt", "vtt")  # formats that hold sounds beside the text
SOUNDS_ALONE = (*WITH_SOUNDS, "txt", "tsv")  # those that can hold sounds instead of it


def render(transcript: Transcript, format_name: str) -> str:
    """The transcript in one of `FORMATS`.

    Times are seconds on the file's clock, rounded to milliseconds. A transcript without segments
    gives the format's empty form: nothing, a header, or a JSON object with an empty list.

    Raises:
        OptionError: no such format.
    """
    if (write := _CAPTIONS.get(format_name)) is not None:
        return write(_segments(transcript))
    if (write_object := _OBJECTS.get(format_name)) is not None:
        return write_object(transcript)
    raise OptionError(f"{format_name!r} is not an output format; choose {', '.join(FORMATS)}")


def render_heard(
    heard: Hearing, format_name: str, *, sounds: str = "on", sound_names: Names | None = None
) -> str:
    """What was heard in one of `FORMATS`, with its sounds.

    json and jsonl are the transcript's, whatever `sounds` is. Without text, there are sounds alone.

    Args:
        heard: A hearing without `tags` gives what its transcript gives.
        format_name: One of `FORMATS`.
        sounds: "on": srt and vtt hold sounds, too; "off": nothing does; "only": srt, vtt, txt and tsv hold
            sounds and no text.
        sound_names: The words for sounds, by display name; "" leaves a sound out.

    Raises:
        OptionError: no such format, or no such choice.
    """
    check_sounds(sounds)
    is_only = sounds == "only" and format_name in SOUNDS_ALONE
    is_both = sounds == "on" and format_name in WITH_SOUNDS and heard.tags is not None
    if not (is_only or is_both):
        return render(heard.transcript or _NOTHING, format_name)
    cues = cues_of(heard.tags or (), sound_names)
    segments = () if is_only else heard.segments
    captions = merge(segments, cues, end_s=heard.duration_s)
    return _CAPTIONS[format_name]([_Shown.of(each) for each in captions])


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


@dataclass(frozen=True, slots=True)
class _Shown:
    """A caption as every format writes it; none of its lines holds a line break."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]

    @classmethod
    def of(cls, caption: Caption) -> "_Shown":
        return cls(caption.start_s, caption.end_s, tuple(map(_one_line, caption.lines)))

    @property
    def row(self) -> str:
        return " ".join(self.lines)


def _one_line(text: str) -> str:
    # Differs from openai/whisper: a line break inside a segment becomes a space
    # (test_captions.py pins it). Other text passes unchanged, as there.
    text = text.strip()
    return " ".join(text.split("\n")) if "\n" in text else text


def _segments(transcript: Transcript) -> Iterator[_Shown]:
    for each in transcript.segments:
        yield _Shown(each.start, each.end, (_one_line(each.text),))


def _cues(shown: Iterable[_Shown], *, always_hours: bool, mark: str) -> Iterator[tuple[str, str]]:
    for each in shown:
        start = timestamp(each.start_s, always_hours=always_hours, decimal_mark=mark)
        end = timestamp(each.end_s, always_hours=always_hours, decimal_mark=mark)
        yield f"{start} --> {end}", "\n".join(each.lines).replace("-->", "->")


def _txt(shown: Iterable[_Shown]) -> str:
    return "".join(f"{each.row}\n" for each in shown)


def _srt(shown: Iterable[_Shown]) -> str:
    cues = _cues(shown, always_hours=True, mark=",")
    return "".join(f"{n}\n{times}\n{text}\n\n" for n, (times, text) in enumerate(cues, start=1))


def _vtt(shown: Iterable[_Shown]) -> str:
    cues = _cues(shown, always_hours=False, mark=".")
    return "WEBVTT\n\n" + "".join(f"{times}\n{text}\n\n" for times, text in cues)


def _tsv(shown: Iterable[_Shown]) -> str:
    rows = (
        (round(1000 * each.start_s), round(1000 * each.end_s), each.row.replace("\t", " "))
        for each in shown
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


_CAPTIONS: dict[str, Callable[[Iterable[_Shown]], str]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
}
_OBJECTS: dict[str, Callable[[Transcript], str]] = {"json": json_object, "jsonl": json_lines}
_NOTHING = Transcript(
    text="", segments=(), language="und", language_probability=None, duration_s=0.0
)
