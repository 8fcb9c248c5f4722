"""What was heard as a timeline for people: lines of speech, with sound cues and codes in their places.

Pure: a result in, text out. `timeline` is plain and has one line per entry; `timeline_for_terminal` wraps
and colours. Subtitles with cues are `text/sdh.py`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING
from zlib import crc32

from tercet.results import Hearing, SoundEvent
from tercet.text.sdh import Cue, cues_of
from tercet.text.sound_words import SPEECH, Names

if TYPE_CHECKING:
    from rich.text import Text

_CLOCK_WIDTH = 9  # of "1:00:00.0": lines printed while a recording is heard stand under each other
_SHOWN_CODES = 10
_VOICES = frozenset(name.casefold() for name in SPEECH)
_VOICE_NAMES = dict.fromkeys(SPEECH, "speech")
# Colours of a terminal's own theme, which its user can read on its background.
_CUE_COLOURS = ("yellow", "cyan", "magenta", "green", "blue")
# Kinds, in their order at one time: codes close a window, and a sound comes before the words over it.
CODES_LINE, CUE_LINE, SPEECH_LINE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    time_s: float  # where it stands
    kind: int
    text: str
    end_s: float  # of the sound that it stands for
    note: str = ""  # said beside it, quietly


def timeline(hearing: Hearing, *, names: Names | None = None) -> str:
    """The timeline as plain text, one line per entry; nothing where nothing was heard.

    Times are seconds on the recording's clock, rounded to a tenth. A sound stands where it begins, also
    within a line of speech, and says how long it lasts. A voice has a cue of its own only where none of its
    words are written. Speech tokens close their window.

    Args:
        hearing: Any readings.
        names: The user's own words for sounds, by display name; "" leaves a sound out.
    """
    return "".join(
        f"{clock(entry.time_s):>{_CLOCK_WIDTH}}  {entry.text}{_beside(entry)}\n"
        for entry in entries(hearing, names)
    )


def timeline_for_terminal(
    hearing: Hearing, *, width: int, colour: bool, names: Names | None = None
) -> str:
    """The same, wrapped to `width` columns; with `colour`, in the colours of the terminal's own theme."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = list(entries(hearing, names))
    if not lines:
        return ""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=_CLOCK_WIDTH, justify="right", no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    for entry in lines:
        grid.add_row(Text(clock(entry.time_s), style="dim"), _coloured(entry))
    page = StringIO()
    Console(
        file=page,
        width=max(width, 2 * _CLOCK_WIDTH),
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        highlight=False,
    ).print(grid)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def _coloured(entry: Entry) -> "Text":
    from rich.text import Text

    style = "dim" if entry.kind == CODES_LINE else ""
    if entry.kind == CUE_LINE:
        # The same sound has the same colour, in every recording.
        style = _CUE_COLOURS[crc32(entry.text.encode()) % len(_CUE_COLOURS)]
    text = Text.assemble((entry.text, style), (_beside(entry), "dim"))
    text.no_wrap = entry.kind == CODES_LINE
    text.overflow = "ellipsis" if text.no_wrap else "fold"
    return text


def _beside(entry: Entry) -> str:
    return f"  {entry.note}" if entry.note else ""


def entries(hearing: Hearing, names: Names | None = None) -> Iterator[Entry]:
    """All lines, in order; `timeline` says which."""
    if hearing.channel is not None:
        start_s = _start_s(hearing)
        yield Entry(start_s, SPEECH_LINE, f"channel {hearing.channel}", start_s)
    segments = [each for each in hearing.segments if each.text.strip()]
    lines = [Entry(each.start, SPEECH_LINE, _one_line(each.text), each.end) for each in segments]
    lines += [_cue(cue) for cue in _cues(hearing, names)]
    lines += _code_lines(hearing)
    yield from sorted(lines, key=lambda entry: (entry.time_s, entry.kind))


def _start_s(hearing: Hearing) -> float:
    readings = (hearing.tags, hearing.speech_tokens)
    return min((each.start_s for each in readings if each is not None), default=0.0)


def _cues(hearing: Hearing, names: Names | None) -> list[Cue]:
    """The sounds that captions would show, and voices whose words are nowhere."""
    events = () if hearing.tags is None else hearing.tags.events
    voices = [event for event in events if event.label.casefold() in _VOICES]
    unwritten = [event for event in voices if not _is_written(event, hearing)]
    return [*cues_of(events, names), *cues_of(unwritten, _VOICE_NAMES)]


def _is_written(event: SoundEvent, hearing: Hearing) -> bool:
    if hearing.transcript is None:
        return False
    # Of a part of a recording: what began before it was said in an earlier part.
    is_earlier = hearing.tags is not None and event.start_s < hearing.tags.start_s
    return is_earlier or any(
        segment.start < event.end_s and event.start_s < segment.end for segment in hearing.segments
    )


def _cue(cue: Cue) -> Entry:
    return Entry(
        cue.start_s,
        CUE_LINE,
        f"[{_one_line(cue.words)}]",
        cue.end_s,
        note=f"{cue.end_s - cue.start_s:.1f} s",
    )


def _code_lines(hearing: Hearing) -> Iterator[Entry]:
    """A line per window that has codes, at its end."""
    tokens = hearing.speech_tokens
    if tokens is None:
        return
    for start_s, ids in tokens.windows:
        if not len(ids):
            continue
        codes = ids.ravel().tolist()
        more = " ..." if len(codes) > _SHOWN_CODES else ""
        shown = " ".join(map(str, codes[:_SHOWN_CODES]))
        end_s = start_s + len(ids) / tokens.rate_hz
        yield Entry(end_s, CODES_LINE, f"{len(codes)} speech tokens: {shown}{more}", end_s)


def clock(seconds: float) -> str:
    """`0:03.2`, `59:59.9`, `1:00:00.0`."""
    tenths = max(0, round(seconds * 10.0))
    rest_min, tenths = divmod(tenths, 600)
    hours, minutes = divmod(rest_min, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02d}.{tenths % 10}"


def _one_line(text: str) -> str:
    """On its line, and without anything that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
