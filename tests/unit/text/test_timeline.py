"""The timeline: lines of speech, sound cues in their places, codes at the end of their window."""

import re

import numpy as np
import pytest

from tercet.results import Hearing, Segment, SoundEvent, SoundEvents, SpeechTokens, Transcript
from tercet.text.timeline import timeline, timeline_for_terminal

Said = tuple[float, float, str]
Heard = tuple[float, float, str]


def transcript(*said: Said) -> Transcript:
    segments = tuple(
        Segment(
            id=n, seek=0, start=start, end=end, text=f" {text}", tokens=(), temperature=0.0,
            avg_logprob=-0.2, compression_ratio=1.0, no_speech_prob=0.0,
        )
        for n, (start, end, text) in enumerate(said)
    )  # fmt: skip
    return Transcript(
        text="", segments=segments, language="en", language_probability=None, duration_s=60.0
    )


def sounds(*heard: Heard, start_s: float = 0.0) -> SoundEvents:
    events = tuple(
        SoundEvent(start_s=start, end_s=end, label=label, score=0.9, label_id=0)
        for start, end, label in heard
    )
    frames = np.zeros((0, 1), np.float32)
    return SoundEvents(
        events=events, frames=frames, labels=("x",), duration_s=60.0, start_s=start_s
    )


def codes(*ids: int, windows: tuple[int, ...] = (0,)) -> SpeechTokens:
    return SpeechTokens(
        ids=np.array(ids, np.int32), codebook_size=512, codebook="c0de", duration_s=60.0,
        window_starts=windows,
    )  # fmt: skip


def hearing(
    text: Transcript | None = None,
    tags: SoundEvents | None = None,
    tokens: SpeechTokens | None = None,
    channel: int | None = None,
) -> Hearing:
    return Hearing(
        transcript=text, tags=tags, speech_tokens=tokens, duration_s=60.0, encoder_passes=(),
        channel=channel,
    )  # fmt: skip


def test_a_sound_stands_where_it_begins_between_the_lines() -> None:
    heard = hearing(
        transcript((0.0, 3.0, "Come here."), (6.0, 8.0, "Good dog.")), sounds((3.4, 4.2, "Bark"))
    )
    expected = (
        "   0:00.0  Come here.\n"
        "   0:03.4  [dog barking]  0.8 s\n"
        "   0:06.0  Good dog.\n"
    )  # fmt: skip
    assert expected == timeline(heard)


def test_a_sound_that_begins_with_a_line_stands_before_it() -> None:
    heard = hearing(transcript((2.0, 3.0, "Now.")), sounds((2.0, 4.0, "Rain")))
    assert "   0:02.0  [rain]  2.0 s\n   0:02.0  Now.\n" == timeline(heard)


def test_names_for_one_sound_are_one_cue() -> None:
    heard = hearing(tags=sounds((1.0, 2.0, "Dog"), (1.4, 2.4, "Bark"), (1.0, 2.0, "Animal")))
    assert "   0:01.0  [dog barking]  1.4 s\n" == timeline(heard)


def test_a_voice_is_a_cue_only_where_its_words_are_not_written() -> None:
    tags = sounds((0.0, 2.0, "Speech"), (10.0, 12.0, "Speech"))
    written = hearing(transcript((0.0, 2.0, "Hello.")), tags)
    assert "   0:00.0  Hello.\n   0:10.0  [speech]  2.0 s\n" == timeline(written)
    unread = hearing(tags=tags)
    assert "   0:00.0  [speech]  2.0 s\n   0:10.0  [speech]  2.0 s\n" == timeline(unread)


def test_a_voice_of_an_earlier_part_was_written_there() -> None:
    tags = sounds((28.0, 30.4, "Speech"), start_s=30.0)
    assert "" == timeline(hearing(transcript(), tags))


def test_codes_close_their_window_before_what_begins_there() -> None:
    heard = hearing(
        transcript((0.0, 0.5, "One."), (1.0, 2.0, "Two.")),
        tokens=codes(*range(30), windows=(0, 25)),
    )
    expected = (
        "   0:00.0  One.\n"
        "   0:01.0  25 speech tokens: 0 1 2 3 4 5 6 7 8 9 ...\n"
        "   0:01.0  Two.\n"
        "   0:01.2  5 speech tokens: 25 26 27 28 29\n"
    )
    assert expected == timeline(heard)


def test_the_users_own_words_are_taken_and_a_sound_without_words_is_left_out() -> None:
    tags = sounds((1.0, 2.0, "Bark"), (3.0, 4.0, "Rain"))
    names = {"Bark": "woof", "Rain": ""}
    assert "   0:01.0  [woof]  1.0 s\n" == timeline(hearing(tags=tags), names=names)


def test_a_channel_has_a_heading() -> None:
    heard = hearing(transcript((1.0, 2.0, "Yes.")), channel=1)
    assert "   0:00.0  channel 1\n   0:01.0  Yes.\n" == timeline(heard)


def test_nothing_heard_is_nothing_said() -> None:
    nothing = hearing(transcript(), sounds(), codes())
    assert "" == timeline(nothing)
    assert "" == timeline_for_terminal(nothing, width=80, colour=True)


def test_times_stand_under_each_other_beyond_an_hour() -> None:
    heard = hearing(transcript((59.96, 60.0, "a"), (3599.0, 3600.0, "b"), (3600.0, 3601.0, "c")))
    assert "   1:00.0  a\n  59:59.0  b\n1:00:00.0  c\n" == timeline(heard)


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\u2028b", "a\x07 b"])
def test_an_entry_stays_on_its_line_and_commands_no_terminal(text: str) -> None:
    said, cue = hearing(transcript((0.0, 1.0, text))), hearing(tags=sounds((0.0, 1.0, text)))
    for heard in (said, cue):
        shown = timeline(heard)
        assert 1 == len(shown.splitlines())
        assert all(letter.isprintable() for letter in shown.rstrip("\n"))


def test_a_terminal_without_colour_gets_the_plain_lines_wrapped_under_their_own_edge() -> None:
    said = transcript((0.0, 3.0, "one two three four five six seven"))
    expected = (
        "   0:00.0  one two three four five\n"
        "           six seven\n"
        "   0:04.0  [dog barking]  1.0 s\n"
    )  # fmt: skip
    heard = hearing(said, sounds((4.0, 5.0, "Bark")))
    assert expected == timeline_for_terminal(heard, width=35, colour=False)


def test_colours_are_the_terminals_own_and_change_no_word() -> None:
    heard = hearing(transcript((0.0, 3.0, "Come here.")), sounds((4.0, 5.0, "Bark")), codes(1, 2))
    coloured = timeline_for_terminal(heard, width=80, colour=True)
    assert "\x1b[2m   0:00.0\x1b[0m  Come here.\n" in coloured
    assert timeline(heard) == re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    # Sixteen colours at most: no shade that a theme does not know.
    assert set(re.findall(r"\x1b\[([0-9;]*)m", coloured)) <= {"0", "2", *map(str, range(30, 38))}


def test_codes_take_one_line_of_a_narrow_terminal() -> None:
    shown = timeline_for_terminal(hearing(tokens=codes(*range(90))), width=30, colour=False)
    assert 1 == len(shown.splitlines())
    assert shown.rstrip("\n").endswith("…")
