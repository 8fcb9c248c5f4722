"""Tokens become segments with times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.decoding.loop import Decoded
from tercet.readings.transcript import assemble, segments_of_window

BEGIN = 50364


def at(seconds):
    return BEGIN + round(seconds * 50)


@pytest.fixture(scope="session")
def cut(byte_tokenizer):
    """`cut(tokens, ...)`: the segments of a window of 10 s that starts at 100 s."""
    tokenizer = byte_tokenizer(51865)

    def segments(tokens, start_s=100.0, duration_s=10.0, speech_end_s=109.0, **arguments):
        decoded = Decoded(
            tokens=tuple(tokens),
            text="",
            avg_logprob=-0.25,
            no_speech_prob=0.125,
            compression_ratio=1.5,
            temperature=0.2,
            language="en",
        )
        return segments_of_window(
            decoded,
            window_start_s=start_s,
            window_duration_s=duration_s,
            speech_end_s=speech_end_s,
            tokenizer=tokenizer,
            seek=int(start_s * 100),
            **arguments,
        )

    return segments


def spans(segments):
    return [(segment.start, segment.end, segment.text) for segment in segments]


def test_pairs_of_timestamps_cut_segments(cut):
    tokens = [at(0.5), 300, 301, at(2), at(2.5), 302, at(4)]
    found = cut(tokens)
    assert [(100.5, 102.0, " w300 w301"), (102.5, 104.0, " w302")] == spans(found)
    assert [tuple(tokens[:4]), tuple(tokens[4:])] == [segment.tokens for segment in found]


def test_a_segment_carries_its_windows_figures(cut):
    (found,) = cut([at(0), 300, at(1)], first_id=7)
    assert (7, 10000) == (found.id, found.seek)
    assert (0.2, -0.25, 1.5, 0.125) == (
        found.temperature,
        found.avg_logprob,
        found.compression_ratio,
        found.no_speech_prob,
    )


def test_ids_count_from_the_first(cut):
    found = cut([at(0), 300, at(1), at(1), at(2), 301, at(3)], first_id=4)
    assert [4, 5] == [segment.id for segment in found]


def test_text_without_an_end_ends_with_the_speech(cut):
    tokens = [at(0), 300, at(2), at(2), 301]
    assert [(100, 102, " w300"), (102, 109, " w301")] == spans(cut(tokens))


def test_or_with_the_window_where_speech_goes_on_or_ended_before_it_began(cut):
    tokens = [at(0), 300, at(2), at(2), 301]
    assert (102, 110, " w301") == spans(cut(tokens, speech_end_s=111.0))[1]
    assert (102, 110, " w301") == spans(cut(tokens, speech_end_s=101.0))[1]


def test_text_without_any_timestamp_is_one_segment(cut):
    assert [(100, 109, " w300 w301")] == spans(cut([300, 301]))


def test_text_before_the_first_timestamp_starts_with_the_window(cut):
    assert [(100, 102, " w300"), (103, 104, " w301")] == spans(cut([300, at(2), at(3), 301, at(4)]))


def test_times_stay_inside_the_window(cut):
    tokens = [at(0), 300, at(9), at(9), 301, at(12)]
    assert [(100, 109, " w300"), (109, 109.5, " w301")] == spans(cut(tokens, duration_s=9.5))


def test_the_end_of_a_file_is_not_rounded_up(cut):
    (found,) = cut([at(0), 300, at(9)], start_s=0.0, duration_s=5.43219, speech_end_s=9.0)
    assert 5.43219 == found.end


def test_times_never_go_back(cut):
    tokens = [at(4), 300, at(6), at(5), 301, at(5.5)]
    assert [(104, 106, " w300"), (106, 106, " w301")] == spans(cut(tokens))


def test_segments_without_text_are_left_out(cut):
    space = 222 - 2  # the stand-in for a space is the 33rd of those without a printable letter
    tokens = [at(0), at(1), at(1), 300, at(2), at(2), space, at(3), at(3)]
    assert [(101, 102, " w300")] == spans(cut(tokens))
    assert [] == cut([])
    assert [] == cut([at(0), at(0)])


def test_times_have_no_binary_dust(cut):
    found = cut([at(0.58), 300, at(1.16)], start_s=1.2, speech_end_s=5.0)
    assert [(1.78, 2.36, " w300")] == spans(found)


@given(
    tokens=st.lists(
        st.one_of(st.integers(256, 400), st.integers(BEGIN, BEGIN + 1500)), max_size=30
    ),
    start_s=st.integers(0, 200).map(lambda n: n * 0.4),
    duration_s=st.floats(0.1, 30),
    speech_s=st.floats(0, 30),
)
def test_whatever_is_decoded_no_text_is_lost_and_time_goes_forward(
    cut, tokens, start_s, duration_s, speech_s
):
    found = cut(tokens, start_s, duration_s, start_s + speech_s)
    words = [f" w{token}" for token in tokens if token < BEGIN]
    assert "".join(words) == "".join(segment.text for segment in found)
    edges = [edge for segment in found for edge in (segment.start, segment.end)]
    assert sorted(edges) == edges
    assert all(start_s <= edge <= start_s + duration_s for edge in edges)


def test_a_transcript_is_its_segments(cut):
    segments = cut([at(0), 300, at(2), at(2), 301, at(3)])
    found = assemble(
        segments,
        language="de",
        language_probability=0.5,
        duration_s=12.0,
        task="translate",
        channel=1,
        windows=(),
    )
    assert (" w300 w301", tuple(segments)) == (found.text, found.segments)
    assert ("de", 0.5, 12.0, "translate", 1) == (
        found.language,
        found.language_probability,
        found.duration_s,
        found.task,
        found.channel,
    )
