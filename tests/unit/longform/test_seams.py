"""Three hand-made texts around a border at 30 s: what is kept of each."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from tercet.longform.seams import Joined, join_at_seam
from tercet.results import Segment

BORDER_S = 30.0


def segment(text: str, start: float, end: float, seek: int = 0) -> Segment:
    return Segment(
        id=0,
        seek=seek,
        start=start,
        end=end,
        text=text,
        tokens=(50364, 7, 50464),
        temperature=0.2,
        avg_logprob=-0.3,
        compression_ratio=1.1,
        no_speech_prob=0.05,
    )


def said(text: str, start_s: float, language: str = "en") -> list[Segment]:
    """One segment, half a second per word (or sign, in Chinese)."""
    n_words = len(text) if language == "zh" else len(text.split())
    return [segment(text, start_s, start_s + n_words / 2)] if text else []


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def join(left, bridge, right, language: str = "en") -> Joined:
    return join_at_seam(left, bridge, right, border_s=BORDER_S, language=language, encode=letters)


def text_of(joined: Joined) -> tuple[str, str]:
    return "".join(s.text for s in joined.left), "".join(s.text for s in joined.right)


def test_a_word_cut_in_half_is_taken_from_the_bridge() -> None:
    left = said(" one two three four five six sev", 26.75)
    bridge = said(" three four five six seventeen eight nine ten", 27.75)
    right = said(" teen eight nine ten eleven", 30.0)
    joined = join(left, bridge, right)
    assert (" one two three four five six seventeen eight nine", " ten eleven") == text_of(joined)
    assert joined.is_confirmed


def test_a_word_that_both_sides_heard_is_not_doubled() -> None:
    left = said(" the green house stood", 28.5)
    bridge = said(" the green house stood alone upon a hill", 28.5)
    right = said(" stood alone upon a hill", 29.9)
    joined = join(left, bridge, right)
    assert " the green house stood alone upon a hill" == "".join(text_of(joined))


def test_a_word_that_neither_side_heard_is_put_back() -> None:
    left = said(" so we went to the", 27.2)
    bridge = said(" so we went to the harbour before it was dark", 27.2)
    right = said(" before it was dark", 30.5)
    joined = join(left, bridge, right)
    assert " so we went to the harbour before it was dark" == "".join(text_of(joined))


def test_words_said_several_times_stay_as_often_as_they_were_said() -> None:
    left = said(" no no no he cried and then no", 26.1)
    bridge = said(" he cried and then no no no she said at last", 27.6)
    right = said(" no no she said at last", 30.1)
    joined = join(left, bridge, right)
    assert " no no no he cried and then no no no she said at last" == "".join(text_of(joined))


def test_a_refrain_far_away_is_no_match() -> None:
    refrain = " row row row your boat gently"
    left = [*said(refrain, 5.0), *said(" down the stream", 28.0)]
    bridge = [*said(" down the stream merrily", 28.0), *said(refrain, 31.0)]
    right = [*said(" rily", 30.0), *said(refrain, 31.0)]
    joined = join(left, bridge, right)
    expected = f"{refrain} down the stream merrily{refrain}"
    assert expected == "".join(text_of(joined))


@pytest.mark.parametrize(
    ("bridge", "right"),
    [
        (" nothing like it at all", " four five six"),
        ("", " four five six"),
        (" the", " the end of"),
    ],
)
def test_without_common_words_both_sides_stay_as_they_are(bridge: str, right: str) -> None:
    left, after = said(" one two of the", 28.0), said(right, 30.0)
    joined = join(left, said(bridge, 29.0), after)
    assert Joined(tuple(left), tuple(after), is_confirmed=False) == joined


def test_words_in_common_at_other_times_prove_nothing() -> None:
    left, right = said(" one two three four", 20.0), said(" five six seven eight", 38.0)
    bridge = [segment(" one two three four", 27.0, 29.0), segment(" five six seven eight", 31, 33)]
    assert not join(left, bridge, right).is_confirmed


def test_one_side_alone_does_not_confirm_against_the_other() -> None:
    left, right = said(" one two three four", 28.0), said(" quite other words here", 30.0)
    bridge = said(" one two three four five six seven", 28.0)
    assert not join(left, bridge, right).is_confirmed


def test_a_bridge_that_goes_back_in_the_text_is_not_believed() -> None:
    left, right = said(" five six seven eight", 28.5), said(" one two three four", 29.5)
    bridge = said(" one two three four five six seven eight", 28.0)
    assert not join(left, bridge, right).is_confirmed


def test_case_and_punctuation_do_not_matter() -> None:
    left = said(" We saw it. Then, the Door", 27.0)
    bridge = said(" we saw it, then the door opened -- slowly: and he", 27.0)
    right = said(" Slowly. And he came in", 30.5)
    left_text, right_text = text_of(join(left, bridge, right))
    assert " We saw it. Then, the door opened -- slowly: and" == left_text
    assert " he came in" == right_text


def test_a_language_without_spaces_is_joined_sign_by_sign() -> None:
    left = said("我们今天去北京", 26.5, "zh")
    bridge = said("今天去北京大学看书学习", 27.5, "zh")
    right = said("学看书学习真好", 30.5, "zh")
    joined = join(left, bridge, right, "zh")
    assert "我们今天去北京大学看书学习真好" == "".join(text_of(joined))
    assert joined.is_confirmed


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("", " upon a hill there stood", (" it once was built upon a", " hill there stood")),
        (" it once was built", "", (" it once was built upon a hill there stood", "")),
    ],
)
def test_a_side_that_heard_nothing_takes_the_bridges_words(
    left: str, right: str, expected: tuple[str, str]
) -> None:
    bridge = said(" it once was built upon a hill there stood", 28.0)
    joined = join(said(left, 28.0), bridge, said(right, 30.0))
    assert "".join(expected) == "".join(text_of(joined))
    assert joined.is_confirmed


def test_nothing_at_all_is_not_confirmed() -> None:
    assert Joined((), (), is_confirmed=False) == join([], [], [])


def test_a_bridge_that_neither_side_supports_is_not_confirmed() -> None:
    assert Joined((), (), is_confirmed=False) == join([], said(" made up words", 29.0), [])


def test_whole_segments_stay_untouched_and_cut_ones_get_new_ids() -> None:
    whole = segment(" Far away.", 2.0, 3.0)
    left = [whole, *said(" one two three four fi", 27.6)]
    bridge = said(" one two three four five six seven eight nine", 27.6)
    tail = segment(" The very end. ", 50.0, 52.0)
    right = [*said(" ive six seven eight nine", 30.0), tail]
    joined = join(left, bridge, right)
    assert whole == joined.left[0]
    assert tail == joined.right[-1]
    cut = joined.left[1]
    assert (" one two three", letters(" one two three")) == (cut.text, list(cut.tokens))
    assert (0.2, -0.3, 1.1, 0.05) == (
        cut.temperature,
        cut.avg_logprob,
        cut.compression_ratio,
        cut.no_speech_prob,
    )


@pytest.mark.parametrize("shift_s", [-2.5, -1.0, 0.0, 1.0, 2.5])
def test_times_never_go_back_though_the_three_texts_disagree_about_them(shift_s: float) -> None:
    left = [*said(" alpha beta", 20.0), *said(" one two three four", 28.0)]
    bridge = said(" one two three four five six seven eight", 28.0 + shift_s)
    right = [*said(" five six seven eight nine", 30.0), *said(" ten", 33.0)]
    joined = join(left, bridge, right)
    assert joined.is_confirmed
    segments = [*joined.left, *joined.right]
    assert 5 == len(segments)
    for one in segments:
        assert one.start <= one.end
    for one, two in pairwise(segments):
        assert one.end <= two.start


@pytest.fixture
def encoder_that_counts() -> tuple[Callable[[str], list[int]], list[str]]:
    seen: list[str] = []

    def encode(text: str) -> list[int]:
        seen.append(text)
        return letters(text)

    return encode, seen


def test_nothing_is_encoded_unless_a_segment_is_cut(encoder_that_counts) -> None:
    encode, seen = encoder_that_counts
    left, right = said(" one two", 28.0), said(" three four", 31.0)
    join_at_seam(left, [], right, border_s=BORDER_S, language="en", encode=encode)
    assert [] == seen
