"""transformers' merging on hand-made tokens; tests/parity compares it with theirs."""

import pytest

from tercet.longform.hf_merge import ChunkMerge, Fold, Stretch, hand_over, kept_of_run

BEGIN = 50364


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 2, 3, 4], [3, 4, 5], (3, 1)),
        ([1, 2, 3, 4], [1, 2, 3, 4], (2, 2)),
        ([1, 2, 3, 4], [4, 5], (4, 0)),  # one token in common proves nothing
        ([1, 2], [5, 6], (2, 0)),
        ([], [5, 6], (0, 0)),
        ([1, 2], [], (2, 0)),
        ([1, 2, 9, 4, 5], [2, 3, 4, 5, 6], (3, 2)),  # one of four differs
    ],
)
def test_two_sequences_hand_over_in_the_middle_of_their_best_overlap(left, right, expected) -> None:
    assert expected == hand_over(left, right)


def test_nothing_in_common_means_that_both_are_written() -> None:
    fold = Fold()
    assert [] == [*fold.add([1, 2, 3])]
    assert [1, 2, 3] == [*fold.add([7, 8, 9])]
    assert [7, 8, 9] == [*fold.finish()]
    assert fold.is_empty


def push(merge: ChunkMerge, *tokens: int, left_s: float = 5.0, right_s: float = 5.0):
    return merge.push(tokens, length_s=30.0, left_s=left_s, right_s=right_s)


def stamp(time_s: float) -> int:
    return BEGIN + round(time_s / 0.02)


def test_a_stretch_closes_with_a_timestamp_outside_of_the_strides(byte_tokenizer) -> None:
    merge = ChunkMerge(byte_tokenizer(51865), timed=True)
    first = (stamp(0), 301, 302, stamp(8), stamp(8), 303, 304, 305, stamp(28))
    assert [Stretch(0.0, 8.0, (301, 302))] == push(merge, *first, left_s=0.0)
    # What was open is merged with the second chunk, which starts at 20 s.
    second = (stamp(1), 304, 305, 306, stamp(12), stamp(12), 307, stamp(20))
    assert [Stretch(8.0, 32.0, (303, 304, 305, 306)), Stretch(32.0, 40.0, (307,))] == push(
        merge, *second, right_s=0.0
    )
    assert [] == merge.finish()


def test_without_times_what_is_final_is_handed_out_at_once(byte_tokenizer) -> None:
    merge = ChunkMerge(byte_tokenizer(51865), timed=False)
    assert [] == push(merge, 301, 302, 303, left_s=0.0)
    assert [(301, 302)] == [each.tokens for each in push(merge, 302, 303, 304)]
    assert [(303, 304)] == [each.tokens for each in merge.finish()]


def test_a_letter_is_never_torn(byte_tokenizer) -> None:
    """An umlaut is two tokens here."""
    tokenizer = byte_tokenizer(51865)
    first, second = tokenizer.encode("ü")
    merge = ChunkMerge(tokenizer, timed=False)
    push(merge, 301, first, left_s=0.0)
    found = [*push(merge, second, 302), *push(merge, 303, 304), *merge.finish()]
    assert " w301ü w302 w303 w304" == "".join(tokenizer.decode(each.tokens) for each in found)


@pytest.mark.parametrize(
    ("tokens", "kept", "step"),
    [
        ([BEGIN, 301, BEGIN + 50], 3, 3000),  # nothing is said behind it
        ([BEGIN, 301, BEGIN + 50, BEGIN + 50], 4, 100),  # the next segment was not written
        ([BEGIN, 301, BEGIN + 50, BEGIN + 50, 302], 4, 100),  # nor ended
        ([BEGIN, 301, BEGIN + 50, BEGIN + 50, 302, BEGIN + 90], 6, 3000),
        ([BEGIN, 301], 2, 3000),
        ([301, 302], 2, 3000),
        ([], 0, 3000),
    ],
)
def test_generation_goes_on_behind_the_last_pair(tokens, kept, step) -> None:
    assert (tokens[:kept], step) == kept_of_run(tokens, BEGIN, 3000)
