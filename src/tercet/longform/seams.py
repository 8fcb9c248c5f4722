"""Joining two windows whose border cuts through speech, with a third that was heard across the border.

Pure functions of segments; nothing is decoded here. The three texts overlap in pairs: left with bridge
before the border, bridge with right after it. In each overlap the longest run of equal words, heard at
nearly the same time, is where one text hands over to the next, in its middle; what lies nearer to an edge
of a window than that is the edge's guesswork.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from tercet.longform.timed_words import (
    TimedWord,
    in_order,
    least_in_common,
    segments_of_words,
    timed_words,
)
from tercet.results import Segment

REACH_S = 12.0  # how much of each side the bridge hears; a multiple of 0.4 s
_NEAR_S = 3.0  # words count as the same one if their times, which are interpolated, differ by less


@dataclass(frozen=True, slots=True)
class _HandOver:
    leave: int  # how many words of the first text stay
    enter: int  # the word of the second text that comes next
    is_matched: bool  # in a run of common words; else because one text has no words there


@dataclass(frozen=True, slots=True)
class Joined:
    """Both sides after joining; `is_confirmed` False: the bridge did not agree, both are as they were."""

    left: tuple[Segment, ...]
    right: tuple[Segment, ...]
    is_confirmed: bool


def join_at_seam(
    left: Sequence[Segment],
    bridge: Sequence[Segment],
    right: Sequence[Segment],
    *,
    border_s: float,
    language: str,
    encode: Callable[[str], Sequence[int]],
) -> Joined:
    """Replace what left and right guessed near their common border by what the bridge heard there.

    Words of the bridge go to the left side. Segments of which nothing was cut keep their text and ids; times
    never go back from one segment to the next. A side that heard nothing at all in its overlap takes the
    bridge's words, if the other side agrees with the bridge.

    Args:
        left: Segments of the window before the border; all times are seconds on the file's clock.
        bridge: Segments of what was heard from `REACH_S` before the border to `REACH_S` after it.
        right: Segments of the window after the border.
        border_s: Where the windows meet.
        language: The text's, as a code; "" if not known.
        encode: Turns text into ids, for segments that are cut; they lose their timestamp ids.
    """
    least = least_in_common(language)
    left_words, bridge_words, right_words = (
        timed_words(segments, language) for segments in (left, bridge, right)
    )
    before = _hand_over(left_words, bridge_words, border_s - REACH_S, border_s, least)
    after = _hand_over(bridge_words, right_words, border_s, border_s + REACH_S, least)
    unchanged = Joined(tuple(left), tuple(right), is_confirmed=False)
    if before is None or after is None or after.leave < before.enter:
        return unchanged
    if not (before.is_matched or after.is_matched):
        return unchanged
    kept = segments_of_words(left_words[: before.leave], left, encode)
    heard = segments_of_words(bridge_words[before.enter : after.leave], bridge, encode)
    rest = segments_of_words(right_words[after.enter :], right, encode)
    ordered = in_order([*kept, *heard, *rest])
    n_left = len(kept) + len(heard)
    return Joined(tuple(ordered[:n_left]), tuple(ordered[n_left:]), is_confirmed=True)


def _hand_over(
    first: list[TimedWord], second: list[TimedWord], start_s: float, end_s: float, least: int
) -> _HandOver | None:
    """Where to leave `first` and enter `second`, both behind the same word; None: they have none in common.

    Both texts heard `start_s..end_s`; `first` also what comes before, `second` what comes after.
    """
    begin = next((i for i, w in enumerate(first) if w.end_s > start_s - _NEAR_S), len(first))
    stop = next((i for i, w in enumerate(second) if w.start_s > end_s + _NEAR_S), len(second))
    if begin == len(first) or stop == 0:
        return _HandOver(len(first), 0, is_matched=False)
    keys = [word.key for word in first[begin:]], [word.key for word in second[:stop]]
    best: list[tuple[int, int]] = []
    for a, b, size in SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks():
        pairs = [(begin + a + i, b + i) for i in range(size)]
        near = [(i, j) for i, j in pairs if first[i].key and _is_near(first[i], second[j])]
        if len(near) > len(best):
            best = near
    if len(best) < least:
        return None
    leave, enter = best[len(best) // 2]
    return _HandOver(leave + 1, enter + 1, is_matched=True)


def _is_near(one: TimedWord, other: TimedWord) -> bool:
    return abs(one.start_s - other.start_s) < _NEAR_S
