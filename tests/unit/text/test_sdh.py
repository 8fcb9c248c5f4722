"""Sounds in captions: what they are called, where they are told, and that subtitles stay valid."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet.errors import OptionError
from tercet.results import Hearing, Segment, SoundEvent, SoundEvents, Transcript
from tercet.text.captions import FORMATS, render, render_heard
from tercet.text.labels import audioset_labels
from tercet.text.sdh import MIN_SHOWN_S, Cue, cues_of, merge
from tercet.text.sound_words import words_for


def segment(start_s: float, end_s: float, text: str = " words") -> Segment:
    return Segment(
        id=0, seek=0, start=start_s, end=end_s, text=text, tokens=(), temperature=0.0,
        avg_logprob=-0.2, compression_ratio=1.0, no_speech_prob=0.0,
    )  # fmt: skip


def event(start_s: float, end_s: float, label: str = "Bark") -> SoundEvent:
    return SoundEvent(start_s=start_s, end_s=end_s, label=label, score=0.9, label_id=0)


def heard(
    segments: Sequence[Segment], events: Sequence[SoundEvent], end_s: float = 20.0
) -> Hearing:
    return Hearing(
        transcript=Transcript(
            text="".join(each.text for each in segments), segments=tuple(segments),
            language="en", language_probability=None, duration_s=end_s,
        ),
        tags=SoundEvents(
            events=tuple(events), frames=np.zeros((1, 1), np.float32), labels=("Bark",),
            duration_s=end_s,
        ),
        speech_tokens=None, duration_s=end_s, encoder_passes=(("text", "tags"),),
    )  # fmt: skip


def shown(segments: Sequence[Segment], *cues: Cue, end_s: float = 20.0) -> list[tuple[object, ...]]:
    captions = merge(segments, cues, end_s=end_s)
    return [(each.start_s, each.end_s, *each.lines) for each in captions]


# --- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "label"),
    [
        ("dog barking", "Bark"),
        ("dog barking", "bark"),
        ("music", "Music"),
        ("rooster crowing", "Crowing, cock-a-doodle-doo"),
        ("baby crying", "Baby cry, infant cry"),
        ("thunder", "Thunderstorm"),
        ("siren", "Ambulance (siren)"),
        ("laughter", "Laughter"),
        ("Kettle", "Kettle"),  # somebody's own label
        ("Bellen", "Bellen"),  # German
    ],
)
def test_a_sound_is_called_as_captions_call_it(expected: str, label: str) -> None:
    assert expected == words_for(label)


@pytest.mark.parametrize(
    "label",
    ["Speech", "Male speech, man speaking", "Conversation", "Silence", "Inside, small room"],
)
def test_speech_and_rooms_are_no_cues(label: str) -> None:
    assert words_for(label) is None


def test_speech_is_no_cue_in_any_language() -> None:
    for language in ("de", "ja", "uk"):
        assert words_for(audioset_labels(language)[0]) is None


def test_every_label_of_audioset_has_words_that_are_short_and_plain() -> None:
    words = [words for label in audioset_labels() if (words := words_for(label))]
    assert 500 < len(words)
    assert [] == [each for each in words if re.search(r"[,()\[\]\n]", each) or len(each) > 40]


def test_the_users_words_come_first_whatever_their_case() -> None:
    names = {"BARK": "woof", "Speech": "murmur", "Music": ""}
    assert "woof" == words_for("Bark", names)
    assert "murmur" == words_for("Speech", names)
    assert words_for("Music", names) is None
    assert "dog barking" == words_for("Dog", names)


# --- cues -----------------------------------------------------------------------------------


def test_equal_sounds_close_together_are_one_cue() -> None:
    events = [event(1.0, 1.4), event(2.4, 2.8, "Dog"), event(9.0, 9.4)]
    assert [Cue(1.0, 2.8, "dog barking"), Cue(9.0, 9.4, "dog barking")] == cues_of(events)


def test_a_kind_of_sounds_is_a_cue_only_where_no_sound_is() -> None:
    events = [event(0.0, 3.0, "Animal"), event(1.0, 2.0, "Bark"), event(8.0, 9.0, "Animal")]
    assert [Cue(1.0, 2.0, "dog barking"), Cue(8.0, 9.0, "animal")] == cues_of(events)


# --- where they are told --------------------------------------------------------------------


def test_a_sound_in_silence_is_a_caption_of_its_own() -> None:
    assert [(5.0, 7.0, "[rain]")] == shown([], Cue(5.0, 7.0, "rain"))
    assert [
        (0.0, 4.0, " words"),
        (5.0, 7.0, "[rain]"),
        (8.0, 9.0, " words"),
    ] == shown([segment(0, 4), segment(8, 9)], Cue(5.0, 7.0, "rain"))


def test_a_sound_under_words_is_told_above_them_within_their_time() -> None:
    assert [(1.0, 6.0, "[rain]", " words")] == shown(
        [segment(1.0, 6.0)], Cue(2.0, 3.0, "rain"), end_s=6.0
    )


def test_two_sounds_under_the_same_words_share_a_line() -> None:
    cues = [Cue(2.0, 3.0, "rain"), Cue(3.0, 4.0, "thunder"), Cue(4.5, 5.0, "rain")]
    assert [(1.0, 6.0, "[rain] [thunder]", " words")] == shown([segment(1, 6)], *cues, end_s=6.0)


def test_a_sound_that_begins_before_the_words_is_told_before_them_and_only_there() -> None:
    assert [(2.0, 5.0, "[rain]"), (5.0, 9.0, " words")] == shown(
        [segment(5, 9)], Cue(2.0, 8.0, "rain"), end_s=9.0
    )


def test_a_sound_that_begins_too_shortly_before_the_words_is_told_with_them() -> None:
    assert [(5.0, 9.0, "[rain]", " words")] == shown(
        [segment(5, 9)], Cue(4.8, 8.0, "rain"), end_s=9.0
    )


def test_a_sound_that_long_outlasts_the_words_is_told_again() -> None:
    rain = Cue(1.0, 15.0, "rain")
    assert [(0.0, 5.0, "[rain]", " words"), (5.0, 15.0, "[rain]")] == shown([segment(0, 5)], rain)
    assert [(0.0, 12.0, "[rain]", " words")] == shown([segment(0, 12)], rain)


def test_a_short_sound_is_shown_long_enough_to_read() -> None:
    assert [(5.0, 6.0, "[bang]")] == shown([], Cue(5.0, 5.4, "bang"))
    # Words follow at once: the caption begins earlier.
    assert [(4.4, 5.4, "[bang]"), (5.4, 8.0, " words")] == shown(
        [segment(5.4, 8.0)], Cue(5.0, 5.4, "bang"), end_s=8.0
    )
    assert [(19.0, 20.0, "[bang]")] == shown([], Cue(19.6, 20.0, "bang"))


def test_a_sound_in_a_silence_too_short_to_read_in_goes_to_the_nearest_words() -> None:
    segments = [segment(0, 5), segment(5.6, 9)]
    assert [(0.0, 5.0, " words"), (5.6, 9.0, "[bang]", " words")] == shown(
        segments, Cue(5.3, 5.6, "bang"), end_s=9.0
    )


def test_sounds_one_after_the_other_in_silence_do_not_overlap() -> None:
    rain, bang, tick = Cue(1, 9, "rain"), Cue(4, 5, "bang"), Cue(4.4, 4.8, "tick")
    assert [(1.0, 4.0, "[rain]"), (4.0, 5.4, "[bang] [tick]")] == shown([], rain, bang, tick)


def test_a_recording_shorter_than_a_caption_still_tells_its_sound() -> None:
    assert [(0.0, 0.5, "[bang]")] == shown([], Cue(0.2, 0.5, "bang"), end_s=0.5)


# --- formats --------------------------------------------------------------------------------


def test_subtitles_tell_sounds_and_the_other_formats_stay_as_they_are() -> None:
    hearing = heard([segment(3, 5, " It is a dog.")], [event(0.4, 1.6), event(3.2, 4.0)], 5.0)
    expected = (
        "1\n00:00:00,400 --> 00:00:01,600\n[dog barking]\n\n"
        "2\n00:00:03,000 --> 00:00:05,000\n[dog barking]\nIt is a dog.\n\n"
    )
    apart = heard([segment(3, 5, " It is a dog.")], [event(0.4, 1.6), event(3.8, 4.6)], 5.0)
    assert expected == apart.to_srt()
    assert "1\n00:00:00,400 --> 00:00:03,000\n[dog barking]\n\n" in hearing.to_srt()  # one bark
    assert "[dog barking]\nIt is a dog." in apart.to_vtt()
    assert "It is a dog.\n" == apart.to_txt()
    assert "[dog barking]\n[dog barking]\n" == apart.to_txt(sounds="only")
    assert "[woof]" in apart.to_vtt(sound_names={"Bark": "woof"})
    for format_name in FORMATS:
        off = render_heard(apart, format_name, sounds="off")
        assert render(apart.transcript, format_name) == off


def test_a_hearing_without_sounds_gives_what_its_transcript_gives() -> None:
    hearing = heard([segment(0, 2), segment(2, 4)], [event(0, 4, "Speech")])
    for format_name in FORMATS:
        assert render(hearing.transcript, format_name) == render_heard(hearing, format_name)


def test_a_users_words_cannot_break_a_cue() -> None:
    told = heard([], [event(1, 3)]).to_srt(sound_names={"Bark": "a\n\n2 --> b"})
    assert "1\n00:00:01,000 --> 00:00:03,000\n[a 2 -> b]\n\n" == told


@pytest.mark.parametrize(
    "options", [{"sounds": "loud"}, {"sound_names": ["Bark"]}, {"sound_names": {"Bark": 1}}]
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=r"^sound"):
        heard([], [event(1, 2)]).to_srt(**options)


# --- validity -------------------------------------------------------------------------------


def spans(most_s: int) -> st.SearchStrategy[list[tuple[float, float]]]:
    tenths = st.lists(st.integers(0, 10 * most_s), max_size=24, unique=True).map(sorted)
    return tenths.map(lambda t: [(a / 10, b / 10) for a, b in zip(t[::2], t[1::2], strict=False)])


@given(
    spans(60),
    st.lists(st.tuples(st.integers(0, 600), st.integers(1, 300), st.sampled_from("abc"))),
)
def test_captions_stay_in_order_and_never_overlap_and_none_is_lost(
    speech: list[tuple[float, float]], sounds: list[tuple[int, int, str]]
) -> None:
    segments = [segment(start, end, f" {n}") for n, (start, end) in enumerate(speech)]
    cues = [
        Cue(start / 10, min(60.0, (start + length) / 10), words) for start, length, words in sounds
    ]
    captions = merge(segments, cues, end_s=60.0)
    for one, other in pairwise(captions):
        assert one.end_s <= other.start_s
    spoken = [each for each in captions if each.text is not None]
    assert [(s.start, s.end, s.text) for s in segments] == [
        (each.start_s, each.end_s, each.text) for each in spoken
    ]
    assert {cue.words for cue in cues} == {words for each in captions for words in each.sounds}
    for each in captions:
        if each.text is None:
            assert each.end_s - each.start_s >= MIN_SHOWN_S - 1e-9
            assert 0.0 <= each.start_s <= each.end_s <= 60.0


def test_ten_hours_of_captions_are_merged_in_seconds() -> None:
    segments = [segment(4.0 * n, 4.0 * n + 3.0) for n in range(9000)]
    cues = [Cue(4.0 * n + 1.5, 4.0 * n + 3.8, "rain") for n in range(9000)]
    assert 9000 == len(merge(segments, cues, end_s=36000.0))
