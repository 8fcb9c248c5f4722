"""The text form of speech tokens."""

import numpy as np
import pytest

from tercet.dataset.token_text import parse_token_text
from tercet.errors import TokensError


def groups(text):
    return [group.tolist() for group in parse_token_text(text, name="a.txt").groups]


def fault(text):
    with pytest.raises(TokensError) as caught:
        parse_token_text(text, name="a.txt")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("a.txt: ")
    return message


def test_what_ichigos_server_answers_is_read():
    text = "<|sound_start|><|sound_1012|><|sound_1508|><|sound_0065|><|sound_end|>"
    assert [[1012, 1508, 65]] == groups(text)


def test_every_group_is_a_window_and_space_between_tokens_is_nothing():
    text = (
        "\ufeff<|sound_start|> <|sound_0001|>\n<|sound_0002|><|sound_end|>\r\n"
        "<|sound_start|><|sound_0003|><|sound_end|>\n"
    )
    assert [[1, 2], [3]] == groups(text)
    assert parse_token_text(text, name="a").has_marks


def test_a_text_without_marks_is_one_group_that_says_so():
    found = parse_token_text("<|sound_0007|><|sound_12345|>", name="a")
    assert [[7, 12345]] == [group.tolist() for group in found.groups]
    assert not found.has_marks
    assert np.int32 == found.groups[0].dtype


def test_an_empty_group_is_an_empty_window():
    assert [[]] == groups("<|sound_start|><|sound_end|>")


def test_a_duration_repeats_the_next_code_as_in_ichigos_corpora():
    text = "<|sound_start|><|duration_03|><|sound_0194|><|sound_0002|><|sound_end|>"
    assert [[194, 194, 194, 2]] == groups(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no speech tokens"),
        ("<|sound_0001|> hello <|sound_0002|>", "behind 1 ids comes 'hello <|sound_0002|>'"),
        ("<|sound_start|><|sound_0001|>", "cut short"),
        ("<|sound_start|><|sound_0001|><|sound_00", "'<|sound_00'"),
        ("<|sound_start|><|sound_0001|><|sound_start|><|sound_end|>", "lacks its <|sound_end|>"),
        ("<|sound_0001|><|sound_end|>", "without a <|sound_start|>"),
        ("<|sound_0001|><|sound_start|><|sound_end|>", "outside of marks"),
        ("<|sound_start|><|sound_end|><|sound_0001|>", "outside <|sound_start|>"),
        ("<|sound_-001|>", "'<|sound_-001|>'"),
        ("<|sound_1.5|>", "'<|sound_1.5|>'"),
        ("<|sound_9999999999|>", "no speech token"),
        ("<|duration_02|>", "followed by no code"),
        ("<|duration_02|><|duration_02|><|sound_0001|>", "followed by no code"),
        ("<|sound_start|><|duration_02|><|sound_end|>", "followed by no code"),
        ("<|duration_00|><|sound_0001|>", "zero times"),
        ("\u0661<|sound_0001|>", "no speech token"),
        ("<|sound_\u0661|>", "no speech token"),
    ],
)
def test_a_text_that_is_none_is_refused_and_the_place_named(text, said):
    assert said in fault(text)


def test_a_text_that_is_cut_anywhere_says_so():
    text = "<|sound_start|><|sound_0001|><|sound_0017|><|sound_end|><|sound_start|><|sound_2048|>"
    whole = text.index("<|sound_end|>") + len("<|sound_end|>")
    for end in range(1, len(text) + 1):
        if end != whole:
            with pytest.raises(TokensError, match="cut short"):
                parse_token_text(text[:end], name="talk.txt")


def test_a_small_text_cannot_fill_the_memory_with_durations(monkeypatch):
    monkeypatch.setattr("tercet.dataset.token_text._MOST_IDS", 100)
    text = "<|duration_99|><|sound_0001|>"
    assert [[1] * 99 + [2]] == groups(text + "<|sound_0002|>")
    assert "a text may have 100" in fault(text * 2)
