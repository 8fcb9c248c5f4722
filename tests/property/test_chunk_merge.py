"""Merging chunks: nothing is invented, order is kept, and what both heard alike comes back as it was."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tercet.longform.chunk_merge import merge_chunks
from tercet.longform.hf_merge import Fold
from tercet.results import Segment

MANY = settings(max_examples=300, deadline=None, derandomize=True)
WORD_S = 0.4
WORDS = ["a", "b", "c", "d", "A,", "--", "b."]


def segment(words: list[str], start_s: float) -> Segment:
    return Segment(
        id=0,
        seek=0,
        start=start_s,
        end=start_s + WORD_S * len(words),
        text="".join(f" {word}" for word in words),
        tokens=(1,),
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
    )


@st.composite
def heard(draw, start_s: float):
    """Segments of a chunk of 12 s from a few words, so that there are false friends among them."""
    segments, at_s, end_s = [], start_s, start_s + 12.0
    for size in draw(st.lists(st.integers(1, 6), max_size=5)):
        words = draw(st.lists(st.sampled_from(WORDS), min_size=size, max_size=size))
        at_s += draw(st.sampled_from([0.0, 0.3, 1.0]))
        if at_s + WORD_S * len(words) > end_s:
            break
        segments.append(segment(words, at_s))
        at_s = segments[-1].end
    return segments


def merged(left, right, start_s=8.0, end_s=12.0):
    return merge_chunks(
        left, right, start_s=start_s, end_s=end_s, language="en", encode=lambda text: []
    )


def words_of(segments) -> list[str]:
    return [word for each in segments for word in each.text.split()]


@MANY
@given(heard(0.0), heard(8.0))
def test_the_first_words_of_one_and_the_last_words_of_the_other(left, right) -> None:
    found = merged(left, right)
    before, after = words_of(left), words_of(right)
    kept, rest = words_of(found.left), words_of(found.right)
    assert before[: len(kept)] == kept
    assert after[len(after) - len(rest) :] == rest
    times = [time for each in (*found.left, *found.right) for time in (each.start, each.end)]
    assert sorted(times) == times


@MANY
@given(st.lists(st.integers(0, 10**6), min_size=40, max_size=60, unique=True), st.data())
def test_what_both_heard_alike_comes_back(numbers, data) -> None:
    """Of one long text, cut into segments anywhere, each chunk hears its part."""
    words = [f"w{number}" for number in numbers]
    first = data.draw(st.integers(2, 25))  # word of the later chunk
    last = data.draw(st.integers(first + 2, len(words)))  # behind the earlier chunk's

    def parts(begin: int, end: int) -> list[Segment]:
        inner = data.draw(st.sets(st.integers(begin + 1, max(begin + 1, end - 1)), max_size=4))
        edges = [begin, *sorted(edge for edge in inner if edge < end), end]
        pairs = pairwise(edges)
        return [segment(words[a:b], a * WORD_S) for a, b in pairs]

    left, right = parts(0, last), parts(first, len(words))
    found = merged(left, right, start_s=first * WORD_S, end_s=last * WORD_S)
    assert words == words_of((*found.left, *found.right))
    assert not found.is_cut_by_time


TOKENS = st.lists(st.integers(0, 5), max_size=10)


@MANY
@given(st.lists(TOKENS, min_size=1, max_size=6))
def test_folding_takes_stretches_of_the_sequences_in_order(sequences) -> None:
    fold = Fold()
    given_back = [list(fold.add(tokens)) for tokens in sequences]
    given_back = [*given_back[1:], list(fold.finish())]
    for tokens, found in zip(sequences, given_back, strict=True):
        n = len(found)
        assert any(found == tokens[at : at + n] for at in range(len(tokens) - n + 1))


@MANY
@given(st.lists(st.integers(0, 10**6), min_size=8, max_size=40, unique=True), st.data())
def test_folding_exact_overlaps_gives_the_sequence_back(tokens, data) -> None:
    overlap = data.draw(st.integers(2, 5))
    size = data.draw(st.integers(2 * overlap, 2 * overlap + 6))
    starts = range(0, len(tokens), size - overlap)
    # A last piece that holds nothing new is left out: one token alone is not recognised, but written twice.
    pieces = [tokens[at : at + size] for at in starts if at == 0 or at + overlap < len(tokens)]
    fold = Fold()
    merged_tokens = [token for piece in pieces for token in fold.add(piece)]
    assert tokens == [*merged_tokens, *fold.finish()]
