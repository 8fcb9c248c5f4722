"""Two hand-made texts of chunks that both heard 20 to 30 s: what is written of each."""

from itertools import pairwise

import pytest

from tercet.longform.chunk_merge import Merged, merge_chunks
from tercet.results import Segment

START_S, END_S = 20.0, 30.0


def segment(text: str, start: float, end: float) -> Segment:
    return Segment(
        id=0,
        seek=0,
        start=start,
        end=end,
        text=text,
        tokens=(50364, 7, 50464),
        temperature=0.0,
        avg_logprob=-0.3,
        compression_ratio=1.1,
        no_speech_prob=0.05,
    )


def said(text: str, start_s: float, language: str = "en") -> list[Segment]:
    """One segment, half a second per word (or sign, in Chinese)."""
    n_words = len(text) if language == "zh" else len(text.split())
    return [segment(text, start_s, start_s + n_words / 2)] if text else []


def merge(left, right, language: str = "en") -> Merged:
    return merge_chunks(
        left,
        right,
        start_s=START_S,
        end_s=END_S,
        language=language,
        encode=lambda text: [ord(letter) for letter in text],
    )


def text_of(merged: Merged) -> str:
    return "".join(s.text for s in (*merged.left, *merged.right))


def test_what_both_heard_is_written_once() -> None:
    left = said(" one two three four five six seven eight", 24.0)
    right = said(" four five six seven eight nine ten", 25.5)
    merged = merge(left, right)
    assert " one two three four five six seven eight nine ten" == text_of(merged)
    assert not merged.is_cut_by_time


def test_each_text_is_believed_up_to_the_middle_of_the_overlap() -> None:
    left = said(" they met at the old harbour wall before it was dark ouse", 20.0)
    right = said(" hey met at the old harbour wall before it was dark outside", 20.0)
    merged = merge(left, right)
    assert " they met at the old harbour wall before it was dark outside" == text_of(merged)


def test_case_and_punctuation_do_not_break_a_match() -> None:
    left = said(" We saw it; then the Door", 23.0)
    right = said(" we saw it. Then, the door opened -- slowly", 23.0)
    merged = merge(left, right)
    assert not merged.is_cut_by_time
    assert ["we", "saw", "it", "then", "the", "door", "opened", "slowly"] == [
        word.strip(".,;-").lower() for word in text_of(merged).split() if word != "--"
    ]


def test_a_dash_that_one_text_has_does_not_end_a_run() -> None:
    left = said(" up -- and down he went", 24.0)
    right = said(" up and down he went again", 24.0)
    assert 6 == len([word for word in text_of(merge(left, right)).split() if word != "--"])


def test_words_heard_differently_within_the_overlap_do_not_matter() -> None:
    """An insertion in the middle, which breaks transformers' rigid shift."""
    left = said(" all of us went to the a market and bought bread", 22.0)
    right = said(" went to the market and bought bread and wine", 23.5)
    assert " all of us went to the" == text_of(merge(left, right))[:22]
    assert text_of(merge(left, right)).endswith(" market and bought bread and wine")
    assert 1 == text_of(merge(left, right)).count("bread")


def test_without_words_in_common_the_overlap_is_cut_in_its_middle() -> None:
    """transformers would write all sixteen words."""
    left = said(" a1 a2 a3 a4 a5 a6 a7 a8", 22.0)  # 22 to 26
    right = said(" b1 b2 b3 b4 b5 b6 b7 b8", 24.0)  # 24 to 28
    merged = merge(left, right)
    assert " a1 a2 a3 a4 a5 a6 b3 b4 b5 b6 b7 b8" == text_of(merged)
    assert merged.is_cut_by_time


def test_the_same_words_far_apart_are_no_match() -> None:
    left = said(" row row row your boat", 20.0)
    right = said(" gently down row row row your boat", 26.0)
    merged = merge(left, right)
    assert " row row row your boat gently down row row row your boat" == text_of(merged)


def test_words_said_several_times_stay_as_often_as_they_were_said() -> None:
    left = said(" no no no no he cried", 23.0)
    right = said(" no no no no he cried again", 23.0)
    assert " no no no no he cried again" == text_of(merge(left, right))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", " only the right one"),
        (" only the left one", ""),
        ("", ""),
    ],
)
def test_a_text_beside_silence_stays_whole(left: str, right: str) -> None:
    before, after = said(left, 27.0), said(right, 21.0)
    merged = merge(before, after)
    assert (tuple(before), tuple(after), False) == (
        merged.left,
        merged.right,
        merged.is_cut_by_time,
    )


def test_one_text_goes_on_where_the_other_stopped() -> None:
    left, right = said(" one two", 20.5), said(" three four", 21.5)  # all before the middle
    merged = merge(left, right)
    assert " one two three four" == text_of(merged)
    assert not merged.is_cut_by_time


def test_a_language_without_spaces_is_merged_sign_by_sign() -> None:
    left, right = said("我们今天去北京大学看", 23.0, "zh"), said("今天去北京大学看书", 24.0, "zh")
    assert "我们今天去北京大学看书" == text_of(merge(left, right, "zh"))


def test_segments_that_are_not_cut_keep_their_ids_and_cut_ones_are_encoded_anew() -> None:
    left = [*said(" far before", 3.0), *said(" one two three four", 24.0)]
    right = [*said(" one two three four five", 24.0), *said(" six seven", 40.0)]
    merged = merge(left, right)
    assert left[0] == merged.left[0]
    assert right[1] == merged.right[-1]
    assert tuple(map(ord, merged.right[0].text)) == merged.right[0].tokens


def test_times_never_go_back() -> None:
    left = said(" one two three four five", 25.0)
    right = said(" three four five six", 25.2)  # half a second early
    merged = merge(left, right)
    for one, two in pairwise([*merged.left, *merged.right]):
        assert one.start <= one.end <= two.start <= two.end
