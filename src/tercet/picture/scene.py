"""What one picture shows: a result and a stretch of its recording, on the recording's clock.

Says nothing of where on the paper things go: `layout.py`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from tercet.picture.excerpt import Excerpt, mel_levels
from tercet.results import Hearing, SoundEvent, SoundEvents, SpeechTokens
from tercet.text.timeline import CODES_LINE, Entry, entries

MOST_LANES = 8
_SHORT_S = 180.0  # up to here the spectrogram has 50 columns a second, beyond it 25


@dataclass(frozen=True, slots=True)
class Spoken:
    """A stretch of text."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Frame scores of one sound."""

    scores: np.ndarray  # float32 [rows], 0..1
    start_s: float  # of the first row
    frame_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """One sound: when it is heard, and how surely at each time."""

    label: str
    events: tuple[SoundEvent, ...]
    curve: Curve | None = None  # None where the result holds no frame scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """Speech tokens of the stretch."""

    ids: np.ndarray  # int32 [n, depth]
    start_s: float  # of the first
    rate_hz: float
    borders_s: tuple[float, ...]  # where encoder windows begin, the first one's left out
    mask_code: int | None

    @property
    def end_s(self) -> float:
        """Where the last one ends."""
        return self.start_s + len(self.ids) / self.rate_hz


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Everything that a picture shows. A reading that was not there is None; empty: nothing was found."""

    title: str
    start_s: float
    end_s: float
    total_s: float | None  # of the whole recording
    mel: np.ndarray  # float32 [bins, columns], 0..1
    column_s: float
    segments: tuple[Spoken, ...] | None
    lanes: tuple[Lane, ...] | None
    hidden_lanes: int  # sounds for which there was no room
    strip: Strip | None
    lines: tuple[Entry, ...]  # the timeline
    language: str | None


def scene_of(hearing: Hearing, excerpt: Excerpt, *, title: str, offset_s: float = 0.0) -> Scene:
    """Put a result and its recording together.

    Args:
        hearing: What was heard.
        excerpt: The stretch to show; what lies outside of it is left out.
        title: What the picture is called.
        offset_s: Where the hearing's clock begins on the recording's.
    """
    start_s, end_s = excerpt.start_s, excerpt.end_s
    per_column = 2 if end_s - start_s <= _SHORT_S else 4

    def is_shown(first_s: float, last_s: float) -> bool:
        return first_s < end_s and last_s > start_s

    spoken = [
        Spoken(each.start + offset_s, each.end + offset_s, " ".join(each.text.split()))
        for each in hearing.segments
        if each.text.strip()
    ]
    lanes = () if hearing.tags is None else _lanes(hearing.tags, start_s, end_s, offset_s)
    lines = (
        replace(entry, time_s=entry.time_s + offset_s, end_s=entry.end_s + offset_s)
        for entry in entries(hearing)
        if entry.kind != CODES_LINE
    )
    return Scene(
        title=title,
        start_s=start_s,
        end_s=end_s,
        total_s=excerpt.total_s,
        mel=mel_levels(excerpt.samples, frames_per_column=per_column),
        column_s=0.01 * per_column,
        segments=None
        if hearing.transcript is None
        else tuple(each for each in spoken if is_shown(each.start_s, each.end_s)),
        lanes=None if hearing.tags is None else lanes[:MOST_LANES],
        hidden_lanes=len(lanes[MOST_LANES:]),
        strip=_strip(hearing.speech_tokens, start_s, end_s, offset_s),
        lines=tuple(line for line in lines if is_shown(line.time_s, max(line.end_s, line.time_s))),
        language=hearing.language,
    )


def _lanes(tags: SoundEvents, start_s: float, end_s: float, offset_s: float) -> tuple[Lane, ...]:
    """A lane per sound that is heard in the stretch: those heard longest and most surely, by onset."""
    of_label: dict[int, list[SoundEvent]] = {}
    for event in tags:
        moved = replace(event, start_s=event.start_s + offset_s, end_s=event.end_s + offset_s)
        if moved.start_s < end_s and moved.end_s > start_s:
            of_label.setdefault(event.label_id, []).append(moved)
    weights = {
        label_id: sum(each.score * (each.end_s - each.start_s) for each in events)
        for label_id, events in of_label.items()
    }
    strongest = sorted(of_label, key=lambda label_id: -weights[label_id])
    by_onset = sorted(strongest[:MOST_LANES], key=lambda label_id: of_label[label_id][0].start_s)
    return tuple(
        Lane(
            label=of_label[label_id][0].label,
            events=tuple(of_label[label_id]),
            curve=_curve(tags, label_id, start_s, end_s, offset_s),
        )
        for label_id in [*by_onset, *strongest[MOST_LANES:]]
    )


def _curve(
    tags: SoundEvents, label_id: int, start_s: float, end_s: float, offset_s: float
) -> Curve | None:
    if not len(tags.frames):
        return None
    zero_s = tags.start_s + offset_s
    # A hair of tolerance: 2.0 // 0.4 is 4.
    first = max(0, math.floor((start_s - zero_s) / tags.frame_s + 1e-6))
    last = max(first, math.ceil((end_s - zero_s) / tags.frame_s - 1e-6))
    return Curve(
        scores=tags.frames[first:last, label_id],
        start_s=zero_s + first * tags.frame_s,
        frame_s=tags.frame_s,
    )


def _strip(
    tokens: SpeechTokens | None, start_s: float, end_s: float, offset_s: float
) -> Strip | None:
    if tokens is None:
        return None
    zero_s, rate_hz = tokens.start_s + offset_s, tokens.rate_hz
    first = max(0, round((start_s - zero_s) * rate_hz))
    last = max(first, round((end_s - zero_s) * rate_hz))
    borders = (zero_s + place / rate_hz for place in tokens.window_starts[1:])
    return Strip(
        ids=tokens.ids.reshape(len(tokens.ids), -1)[first:last],
        start_s=zero_s + first / rate_hz,
        rate_hz=rate_hz,
        borders_s=tuple(border for border in borders if start_s < border < end_s),
        mask_code=tokens.mask_code,
    )
