"""Joining two windows whose border cuts through speech, with the help of a third that was heard across the border.

Pure functions of segments; nothing is decoded here. The three texts overlap in pairs: left with bridge before the
border, bridge with right after it. In each overlap the longest run of equal words, heard at nearly the same time, is
where one text hands over to the next; what lies nearer to a window's edge than that is the edge's guesswork.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import groupby

from tercet.results import Segment

REACH_S = 12.0  # how much of each side the bridge hears; a multiple of 0.4 s
_NEAR_S = 3.0  # words count as the same one if their times, which are interpolated, differ by less
_WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})  # scripts without word spaces
_SPACED = re.compile(r"\s*\S+")
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class _Word:
    text: str  # with the space before it
    key: str  # what is compared: lower case, letters and digits only
    start_s: float
    end_s: float
    segment: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Both sides after joining; `is_confirmed` False: the bridge agreed with neither, both are as they were."""

    left: tuple[Segment, ...]
    right: tuple[Segment, ...]
    is_confirmed: bool


def join_at_seam(
    left: Sequence[Segment],
    bridge: Sequence[Segment],
    right: Sequence[Segment],
    language: str,
    encode: Callable[[str], Sequence[int]],
) -> Joined:
    """Replace what left and right guessed near their common border by what the bridge heard there.

    Times of all segments are on the file's clock. Words of the bridge go to the left side. `encode` turns a piece of
    text into ids, for segments that are cut.
    """
    left_words, bridge_words, right_words = (_words(s, language) for s in (left, bridge, right))
    before = _hand_over(left_words, bridge_words)
    after = _hand_over(bridge_words, right_words)
    if before is None or after is None or after[0] < before[1]:
        return Joined(tuple(left), tuple(right), is_confirmed=False)
    kept = _rebuild(left_words[: before[0]], left, encode)
    heard = _rebuild(bridge_words[before[1] : after[0]], bridge, encode)
    rest = _rebuild(right_words[after[1] :], right, encode)
    return Joined((*kept, *heard), rest, is_confirmed=True)


def _hand_over(first: list[_Word], second: list[_Word]) -> tuple[int, int] | None:
    """Where to leave `first` and enter `second`: both indices point behind the same word. None: no common word."""
    keys = [word.key for word in first], [word.key for word in second]
    matcher = SequenceMatcher(None, *keys, autojunk=False)
    best: tuple[int, int, int] | None = None
    for a, b, size in matcher.get_matching_blocks():
        near = [
            i
            for i in range(size)
            if keys[0][a + i] and abs(first[a + i].start_s - second[b + i].start_s) < _NEAR_S
        ]
        if near and (best is None or len(near) > best[0]):
            middle = near[len(near) // 2] + 1
            best = (len(near), a + middle, b + middle)
    return None if best is None else (best[1], best[2])


def _words(segments: Sequence[Segment], language: str) -> list[_Word]:
    """Words with times interpolated over each segment's characters."""
    words = []
    for number, segment in enumerate(segments):
        if language in _WITHOUT_SPACES:
            pieces = list(segment.text)
        else:
            pieces = _SPACED.findall(segment.text)
        per_character_s = (segment.end - segment.start) / max(1, sum(map(len, pieces)))
        at_s = segment.start
        for piece in pieces:
            until_s = at_s + per_character_s * len(piece)
            key = _NOT_LETTERS.sub("", piece).casefold()
            words.append(_Word(piece, key, at_s, until_s, number))
            at_s = until_s
    return words


def _rebuild(
    words: list[_Word], segments: Sequence[Segment], encode: Callable[[str], Sequence[int]]
) -> tuple[Segment, ...]:
    """Segments from the words that are left of them; whole ones stay as they were."""
    rebuilt = []
    for number, group in groupby(words, key=lambda word: word.segment):
        kept = list(group)
        text = "".join(word.text for word in kept)
        whole = segments[number]
        if text == whole.text:
            rebuilt.append(whole)
            continue
        times = {"start": round(kept[0].start_s, 2), "end": round(kept[-1].end_s, 2)}
        rebuilt.append(replace(whole, text=text, tokens=tuple(encode(text)), **times))
    return tuple(rebuilt)
