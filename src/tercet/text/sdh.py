"""Captions for people who cannot hear (SDH): sounds in brackets between and above the lines of speech.

Pure functions of segments and events: where a sound is shown, and for how long. What it is called is
`sound_words.py`'s business, and how captions become srt or vtt that of `captions.py`.

A sound is told once, where it begins: in silence as a caption of its own, else on a line of its own above the
words that it lies under. It is told again where it still sounds after the speech, for some time. Speech is no
sound here.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from tercet.errors import OptionError
from tercet.results import Segment, SoundEvent
from tercet.text.sound_words import GENERAL, Names, check_names, words_for

Timed = TypeVar("Timed", bound="_Timed")
SOUNDS = ("on", "off", "only")
MIN_SHOWN_S = 1.0  # nobody reads a caption that is gone earlier
_SAME_GAP_S = 2.0  # equal sounds with less silence between them are one
_REMIND_S = 5.0  # a sound that outlasts speech by this is told again


class _Timed(Protocol):
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Cue:
    """A sound by its caption's words, as long as it lasts. Seconds on the recording's clock."""

    start_s: float
    end_s: float
    words: str  # without brackets


@dataclass(frozen=True, slots=True)
class Caption:
    """What is shown from when to when: sounds, then words, each on a line of its own."""

    start_s: float
    end_s: float
    sounds: tuple[str, ...] = ()  # without brackets, in order
    text: str | None = None  # of the segment that it is

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines as they are shown."""
        told = " ".join(f"[{words}]" for words in self.sounds)
        return tuple(line for line in (told, self.text) if line)


def check_sounds(sounds: str) -> str:
    """Whether sounds are shown.

    Raises:
        OptionError: no such choice.
    """
    if sounds not in SOUNDS:
        raise OptionError(f"sounds is {sounds!r}; give {', '.join(SOUNDS)}")
    return sounds


def cues_of(events: Iterable[SoundEvent], names: Names | None = None) -> list[Cue]:
    """The sounds worth a caption, by onset: equal ones that follow each other closely are one.

    Args:
        events: In any order; speech among them is left out.
        names: The user's own words by display name; see `sound_words.words_for`.

    Raises:
        OptionError: `names` is no dictionary of texts.
    """
    names = check_names(names)
    shown = [(event, words) for event in events if (words := words_for(event.label, names))]
    shown.sort(key=lambda pair: (pair[0].start_s, pair[0].end_s))
    special = _Row([event for event, _ in shown if event.label not in GENERAL])
    cues: dict[str, list[Cue]] = {}
    for event, words in shown:
        if event.label in GENERAL and any(_overlap_s(event, e) > 0 for e in special.near(event)):
            continue
        of_words = cues.setdefault(words.casefold(), [])
        if of_words and event.start_s - of_words[-1].end_s < _SAME_GAP_S:
            last = of_words[-1]
            of_words[-1] = replace(last, end_s=max(last.end_s, event.end_s))
        else:
            of_words.append(Cue(event.start_s, event.end_s, words))
    found = [cue for of_words in cues.values() for cue in of_words]
    return sorted(found, key=lambda cue: (cue.start_s, cue.end_s, cue.words))


def merge(segments: Sequence[Segment], cues: Iterable[Cue], *, end_s: float) -> list[Caption]:
    """Segments and sounds as captions, in order.

    Segments keep their times, texts and order. No caption of a sound overlaps any other, and none is shorter
    than `MIN_SHOWN_S` unless the recording is.

    Args:
        segments: The transcript's, in order.
        cues: What `cues_of` gave.
        end_s: Where the recording ends.
    """
    places = _places(segments, end_s)
    row = _Row(places)
    for cue in cues:
        _tell(cue, row)
    captions: list[Caption] = []
    for place in places:
        if place.segment is None:
            captions += _in_silence(place)
        else:
            captions.append(
                Caption(
                    place.segment.start,
                    place.segment.end,
                    _each_once(cue.words for cue in place.cues),
                    place.segment.text,
                )
            )
    return captions


@dataclass(slots=True)
class _Place:
    """A segment, or the silence between two of them, and the sounds that are told there."""

    start_s: float
    end_s: float
    segment: Segment | None = None
    cues: list[Cue] = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        """Whether anything that is shown here can be read."""
        return self.segment is not None or self.end_s - self.start_s >= MIN_SHOWN_S


def _places(segments: Sequence[Segment], end_s: float) -> list[_Place]:
    """Segments in their order, and between them the silences of any length."""
    places: list[_Place] = []
    reached_s = 0.0
    for segment in segments:
        if segment.start > reached_s:
            places.append(_Place(reached_s, segment.start))
        places.append(_Place(segment.start, segment.end, segment))
        reached_s = max(reached_s, segment.end)
    if end_s > reached_s or not segments:
        places.append(_Place(reached_s, max(end_s, reached_s)))
    return places


def _tell(cue: Cue, row: "_Row[_Place]") -> None:
    """Put a sound where it begins, and again in long silences into which it goes on."""
    near = row.near(cue)
    heard = [place for place in near if place.has_room and _overlap_s(cue, place) > 0]
    if not heard:
        # In a silence too short to read in, or at the recording's very end.
        near = row.near(cue, further=2)
        with_room = [place for place in near if place.has_room] or near
        heard = [min(with_room, key=lambda place: _distance_s(cue, place))]
    enough_s = min(MIN_SHOWN_S, (cue.end_s - cue.start_s) / 2)
    longest = max(heard, key=lambda place: _overlap_s(cue, place))
    first = next((place for place in heard if _overlap_s(cue, place) >= enough_s), longest)
    first.cues.append(cue)
    for place in heard[_index(heard, first) + 1 :]:
        if place.segment is None and _overlap_s(cue, place) >= _REMIND_S:
            place.cues.append(cue)


def _index(places: Sequence[_Place], wanted: _Place) -> int:
    return next(i for i, place in enumerate(places) if place is wanted)


def _in_silence(place: _Place) -> list[Caption]:
    """The captions of a silence: one after the other, each long enough to read, all within it."""
    latest_s = max(place.start_s, place.end_s - MIN_SHOWN_S)  # the last moment to begin
    captions: list[Caption] = []
    for cue in sorted(place.cues, key=lambda cue: (cue.start_s, cue.end_s)):
        start_s = min(max(cue.start_s, place.start_s), latest_s)
        end_s = min(max(min(cue.end_s, place.end_s), start_s + MIN_SHOWN_S), place.end_s)
        before = captions[-1] if captions else None
        if before is None or start_s >= before.end_s:
            captions.append(Caption(start_s, end_s, (cue.words,)))
        elif start_s - before.start_s >= MIN_SHOWN_S:  # the one before has been read
            captions[-1] = replace(before, end_s=start_s)
            captions.append(Caption(start_s, end_s, (cue.words,)))
        else:
            words = _each_once((*before.sounds, cue.words))
            captions[-1] = replace(before, end_s=max(before.end_s, end_s), sounds=words)
    return captions


class _Row(Generic[Timed]):
    """Things in the order of their starts, and quick answers to which of them lie near another."""

    def __init__(self, things: Sequence[Timed]) -> None:
        self._things = things
        self._starts = [thing.start_s for thing in things]
        self._reached = list(accumulate((thing.end_s for thing in things), max))

    def near(self, other: _Timed, *, further: int = 0) -> Sequence[Timed]:
        """All that overlap it, perhaps others among them; with `further`, as many on both sides."""
        first = bisect_right(self._reached, other.start_s)
        last = bisect_left(self._starts, other.end_s)
        return self._things[max(0, min(first, last) - further) : max(first, last) + further]


def _each_once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _overlap_s(one: _Timed, other: _Timed) -> float:
    return min(one.end_s, other.end_s) - max(one.start_s, other.start_s)


def _distance_s(cue: Cue, place: _Place) -> float:
    return max(place.start_s - cue.end_s, cue.start_s - place.end_s, 0.0)
