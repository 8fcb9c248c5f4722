"""Sound events as text: txt, json, jsonl, tsv, audacity. Returns strings; opens no file.

Whatever is in a label, an event stays on its line and in its columns: line breaks and tabs become spaces.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tercet.errors import OptionError
from tercet.results import SoundEvent, SoundEvents

FORMATS = ("txt", "json", "jsonl", "tsv", "audacity")


def render(events: SoundEvents, format_name: str) -> str:
    """The events in one of `FORMATS`, in their order. The frame grid is in none of them.

    Times are seconds on the recording's clock. No events give the format's empty form: nothing, a header, or
    a JSON object with an empty list.

    Raises:
        OptionError: no such format.
    """
    writer = _WRITERS.get(format_name)
    if writer is None:
        raise OptionError(f"{format_name!r} is not an event format; choose {', '.join(FORMATS)}")
    return writer(events)


def json_object(events: SoundEvents, extra: Mapping[str, str] | None = None) -> str:
    """`SoundEvents.to_json` on one line, without a line end. `extra` keys come last."""
    return _dump({**events.to_json(), **(extra or {})})


def json_lines(events: SoundEvents, extra: Mapping[str, str] | None = None) -> str:
    """One JSON object per event and line. Each says the channel, where the events have one."""
    channel = {} if events.channel is None else {"channel": events.channel}
    return "".join(
        _dump({**event.to_json(), **channel, **(extra or {})}) + "\n" for event in events
    )


def text_line(event: SoundEvent) -> str:
    """One event for people, with its line end: start, end, score and label.

    Columns stand under each other up to ten hours, so lines can be printed while a recording is heard.
    """
    times = f"{_clock(event.start_s):>9} - {_clock(event.end_s):>9}"
    return f"{times}  {event.score:.2f}  {_one_line(event.label)}\n"


def _clock(seconds: float) -> str:
    """`0:03.2`, `59:59.9`, `1:00:00.0`: rounded to a tenth of a second, which a frame has four of."""
    tenths = max(0, round(seconds * 10.0))
    rest_min, tenths = divmod(tenths, 600)
    hours, minutes = divmod(rest_min, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02d}.{tenths % 10}"


def _one_line(label: str) -> str:
    # split() knows every character that ends a line for some reader, U+2028 and U+0085 among them.
    return " ".join(label.split())


def _txt(events: SoundEvents) -> str:
    return "".join(text_line(event) for event in events)


def _tsv(events: SoundEvents) -> str:
    rows = (
        f"{event.start_s:.3f}\t{event.end_s:.3f}\t{_one_line(event.label)}\t{event.score:.4f}\n"
        for event in events
    )
    return "start_s\tend_s\tlabel\tscore\n" + "".join(rows)


def _audacity(events: SoundEvents) -> str:
    """Audacity's label track, in the form in which it exports one: six decimals, no header."""
    return "".join(
        f"{event.start_s:.6f}\t{event.end_s:.6f}\t{_one_line(event.label)}\n" for event in events
    )


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)  # ASCII only, as in captions.py


_WRITERS: dict[str, Callable[[SoundEvents], str]] = {
    "txt": _txt,
    "json": json_object,
    "jsonl": json_lines,
    "tsv": _tsv,
    "audacity": _audacity,
}
