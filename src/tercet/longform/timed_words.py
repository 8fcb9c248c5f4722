"""Segments as words that have times, and segments from the words that are left. Joins no texts itself."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from tercet.results import Segment

_WITHOUT_SPACES = frozenset(
    {"zh", "yue", "ja", "th", "lo", "my", "km"}
)  # scripts that part no words
_SPACED = re.compile(r"\s*\S+")
_NOT_LETTERS = re.compile(r"[\W_]+")
_LEAST_WORDS = 2  # in a run: one "the" in common proves nothing
_LEAST_SIGNS = 4  # the same, where every sign is a word


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of a segment."""

    text: str  # with the space before it
    key: str  # what is compared: lower case, letters and digits only; "" where it has none
    start_s: float
    end_s: float
    segment: int  # which one it is of

    @property
    def middle_s(self) -> float:
        """Halfway between its start and its end."""
        return (self.start_s + self.end_s) / 2


def least_in_common(language: str) -> int:
    """How many words in a row two texts must share to be believed to say the same.

    `language`: a code; "" if not known.
    """
    return _LEAST_SIGNS if language in _WITHOUT_SPACES else _LEAST_WORDS


def timed_words(segments: Sequence[Segment], language: str) -> list[TimedWord]:
    """Words with times interpolated over each segment's characters."""
    words = []
    for number, segment in enumerate(segments):
        has_spaces = language not in _WITHOUT_SPACES
        pieces = _SPACED.findall(segment.text) if has_spaces else list(segment.text)
        per_character_s = (segment.end - segment.start) / max(1, sum(map(len, pieces)))
        at_s = segment.start
        for piece in pieces:
            until_s = at_s + per_character_s * len(piece)
            key = _NOT_LETTERS.sub("", piece).casefold()
            words.append(TimedWord(piece, key, at_s, until_s, number))
            at_s = until_s
    return words


def segments_of_words(
    words: Sequence[TimedWord],
    segments: Sequence[Segment],
    encode: Callable[[str], Sequence[int]],
) -> list[Segment]:
    """Segments from the words that are left of them; whole ones stay as they were.

    `encode` turns text into ids, for those that were cut; they lose their timestamp ids.
    """
    rebuilt = []
    for number, group in groupby(words, key=lambda word: word.segment):
        kept = list(group)
        text = "".join(word.text for word in kept)
        whole = segments[number]
        if text.strip() == whole.text.strip():
            rebuilt.append(whole)
            continue
        start_s, end_s = round(kept[0].start_s, 2), round(kept[-1].end_s, 2)
        ids = tuple(encode(text))
        rebuilt.append(replace(whole, text=text, tokens=ids, start=start_s, end=end_s))
    return rebuilt


def in_order(segments: Sequence[Segment]) -> list[Segment]:
    """The same segments; where times of two neighbours overlap, they meet halfway."""
    ordered = list(segments[:1])
    for segment in segments[1:]:
        previous = ordered[-1]
        if segment.start < previous.end:
            middle = round((segment.start + previous.end) / 2, 2)
            middle = max(min(middle, segment.end), previous.start)
            ordered[-1] = replace(previous, end=middle)
            segment = replace(segment, start=middle, end=max(segment.end, middle))
        ordered.append(segment)
    return ordered
