"""Which readings share an encoder pass, and which readings a caller means."""

from dataclasses import replace

import pytest

from tercet.audio.convention import ICHIGO, SHARED
from tercet.errors import OptionError
from tercet.longform.passes import EncoderPass, plan, readings_of

ALL = ("text", "tags", "tokens")


def test_readings_of_one_convention_share_one_pass() -> None:
    expected = (EncoderPass(SHARED, ALL),)
    assert expected == plan(dict.fromkeys(reversed(ALL), SHARED))


def test_another_convention_costs_a_pass_of_its_own() -> None:
    expected = (EncoderPass(SHARED, ("text", "tags")), EncoderPass(ICHIGO, ("tokens",)))
    assert expected == plan({"text": SHARED, "tags": SHARED, "tokens": ICHIGO})


def test_a_text_with_the_files_floor_does_not_share_with_heads_of_the_windows() -> None:
    passes = plan({"text": replace(SHARED, mel_floor="file"), "tags": SHARED})
    assert [("text",), ("tags",)] == [each.readings for each in passes]


def test_only_a_pass_for_text_alone_is_left_out_where_nobody_speaks() -> None:
    assert not EncoderPass(SHARED, ("text",)).is_needed(has_speech=False)
    assert EncoderPass(SHARED, ("text",)).is_needed(has_speech=True)
    assert EncoderPass(SHARED, ("text", "tags")).is_needed(has_speech=False)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, ("text", "tokens")),
        ("tags", ("tags",)),
        ("tokens, text", ("text", "tokens")),
        (["tokens", "tags", "text"], ALL),
    ],
)
def test_readings_come_in_their_own_order(only, expected) -> None:
    assert expected == readings_of(only, ("text", "tokens"))


@pytest.mark.parametrize(
    "only", ["", "words", [], ["text", "speech"], [None], "text,,tags", 3, [["text"]]]
)
def test_a_reading_that_nobody_knows_is_refused(only) -> None:
    with pytest.raises(OptionError, match="text, tags, tokens"):
        readings_of(only, ALL)
