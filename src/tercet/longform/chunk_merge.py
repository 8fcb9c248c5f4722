"""Merging the texts of two chunks that overlap: what both heard is written once.

Pure functions of segments; nothing is decoded here. Where the longest run of equal words lies that both
chunks heard at about the same time, one text hands over to the other, at the word nearest to the overlap's
middle: furthest from either chunk's edge, where words are guessed. Case and punctuation do not count.

Differs from transformers (`hf_merge.py` does as it does): words are compared instead of tokens, times count,
and where two texts have no words in common, they are cut in the middle of the overlap instead of both being
written down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tercet.longform.timed_words import (
    TimedWord,
    in_order,
    least_in_common,
    segments_of_words,
    timed_words,
)
from tercet.results import Segment

Pair = tuple[int, int]  # a word of the first text, and the same word of the second


@dataclass(frozen=True, slots=True)
class Merged:
    """Both chunks' segments without what the other one answers for."""

    left: tuple[Segment, ...]
    right: tuple[Segment, ...]
    is_cut_by_time: bool  # no words in common: what lies nearer to a chunk's edge was left out


def merge_chunks(
    left: Sequence[Segment],
    right: Sequence[Segment],
    *,
    start_s: float,
    end_s: float,
    language: str,
    encode: Callable[[str], Sequence[int]],
) -> Merged:
    """Write once what two neighbours both heard.

    The result's words are the first ones of `left` and the last ones of `right`, in that order. Segments of
    which nothing was cut keep their text and ids; times never go back from one segment to the next.

    Args:
        left: Segments of the earlier chunk; all times are seconds on the file's clock.
        right: Segments of the later chunk.
        start_s: Where the later chunk starts; from here on, both heard the same.
        end_s: Where the earlier chunk ends; up to here.
        language: The text's, as a code; "" if not known.
        encode: Turns text into ids, for segments that are cut; they lose their timestamp ids.
    """
    left_words: Sequence[TimedWord] = timed_words(left, language)
    right_words: Sequence[TimedWord] = timed_words(right, language)
    middle_s, near_s = (start_s + end_s) / 2, (end_s - start_s) / 2
    run = _common_run(
        [(i, word) for i, word in enumerate(left_words) if word.end_s > start_s - near_s],
        [(j, word) for j, word in enumerate(right_words) if word.start_s < end_s + near_s],
        near_s,
    )
    is_cut_by_time = False
    if len(run) >= least_in_common(language):
        leave, enter = min(
            run, key=lambda pair: _distance(left_words[pair[0]], right_words[pair[1]], middle_s)
        )
        kept, rest = left_words[: leave + 1], right_words[enter + 1 :]
    elif not left_words or not right_words or left_words[-1].end_s <= right_words[0].start_s:
        kept, rest = left_words, right_words  # one goes on where the other one stopped
    else:
        is_cut_by_time = True
        kept = _up_to(left_words, middle_s)
        rest = right_words[len(_up_to(right_words, middle_s)) :]
    before = segments_of_words(kept, left, encode)
    ordered = in_order([*before, *segments_of_words(rest, right, encode)])
    return Merged(
        tuple(ordered[: len(before)]), tuple(ordered[len(before) :]), is_cut_by_time=is_cut_by_time
    )


def _common_run(
    first: Sequence[tuple[int, TimedWord]], second: Sequence[tuple[int, TimedWord]], near_s: float
) -> list[Pair]:
    """The longest run of equal words, each heard within `near_s` in both texts, as pairs of indices.

    Of several equally long ones, that whose times agree best. Words without letters are passed over.
    """
    first = [(i, word) for i, word in first if word.key]
    second = [(j, word) for j, word in second if word.key]
    longest = list[Pair]()
    best = (0, 0.0)  # length, and minus how far apart the times are
    above: list[tuple[int, float]] = [(0, 0.0)] * (len(second) + 1)
    for a, (_, word) in enumerate(first):
        runs = [
            (0, 0.0)
        ]  # that end with this word of the first text, by where they end in the second
        for b, (_, other) in enumerate(second):
            apart_s = abs(word.middle_s - other.middle_s)
            is_same = word.key == other.key and apart_s <= near_s
            length, total_s = above[b]
            runs.append((length + 1, total_s - apart_s) if is_same else (0, 0.0))
            if runs[-1] > best:
                best = runs[-1]
                pairs = zip(first[a - length : a + 1], second[b - length : b + 1], strict=True)
                longest = [(x, y) for (x, _), (y, _) in pairs]
        above = runs
    return longest


def _distance(word: TimedWord, other: TimedWord, middle_s: float) -> float:
    return abs((word.middle_s + other.middle_s) / 2 - middle_s)


def _up_to(words: Sequence[TimedWord], middle_s: float) -> Sequence[TimedWord]:
    """The words that lie before a time, by their middles."""
    return words[: next((i for i, w in enumerate(words) if w.middle_s >= middle_s), len(words))]
