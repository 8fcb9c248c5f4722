"""`tercet listen`: sounds in captions, what they are called there, and the gate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.text.captions import render

Run = Callable[..., Any]
Make = Callable[..., Path]
# The fake model's recording: a sound called as its stem from 0 to 0.8 s, its words from 0 to 1.5 s.
TIMES = "00:00:00,000 --> 00:00:01,500"


@pytest.fixture
def model(fake_model: Any) -> Any:
    fake_model.has_tags = True
    return fake_model


def test_subtitles_hold_sounds_where_tags_are_heard(
    run_tercet: Run, recordings: Make, model: Any, say: Any
) -> None:
    recordings("Dog.mp3")
    srt = run_tercet("listen", "Dog.mp3", "-f", "srt").out
    assert f"1\n{TIMES}\n[dog barking]\nDog\n\n" == srt
    vtt = run_tercet("listen", "Dog.mp3", "-f", "vtt").out
    assert "WEBVTT\n\n00:00.000 --> 00:01.500\n[dog barking]\nDog\n\n" == vtt
    for format_name in ("txt", "tsv"):
        told = run_tercet("listen", "Dog.mp3", "-f", format_name).out
        assert render(say("Dog"), format_name) == told


@pytest.mark.option("--sounds")
def test_sounds_are_told_beside_the_text_or_not_at_all_or_alone(
    run_tercet: Run, recordings: Make, model: Any
) -> None:
    recordings("Dog.mp3")

    def told(sounds: str, format_name: str = "srt") -> str:
        return run_tercet("listen", "Dog.mp3", "-f", format_name, "--sounds", sounds).out

    assert f"1\n{TIMES}\n[dog barking]\nDog\n\n" == told("on")
    assert f"1\n{TIMES}\nDog\n\n" == told("off")
    assert "1\n00:00:00,000 --> 00:00:01,000\n[dog barking]\n\n" == told("only")
    assert "[dog barking]\n" == told("only", "txt")
    assert "start\tend\ttext\n0\t1000\t[dog barking]\n" == told("only", "tsv")


def test_sounds_alone_need_no_text(run_tercet: Run, recordings: Make, model: Any) -> None:
    recordings("Dog.mp3")
    ran = run_tercet("listen", "Dog.mp3", "-f", "srt", "--sounds", "only", "--only", "tags")
    assert "1\n00:00:00,000 --> 00:00:01,000\n[dog barking]\n\n" == ran.out
    assert [("tags",)] == model.only


@pytest.mark.option("--sound_names")
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Dog=woof", "[woof]\nDog"),
        ("dog=woof, very loud;Rain=drip", "[woof, very loud]\nDog"),
        ("Rain=drip,Dog=a dog", "[a dog]\nDog"),
        ("Crowing, cock-a-doodle-doo=cock,Dog=woof", "[woof]\nDog"),
        ("Dog=", "Dog"),
    ],
)
def test_sounds_are_called_as_the_user_says(
    run_tercet: Run, recordings: Make, model: Any, names: str, expected: str
) -> None:
    recordings("Dog.mp3")
    ran = run_tercet("listen", "Dog.mp3", "-f", "srt", "--sound_names", names)
    assert f"1\n{TIMES}\n{expected}\n\n" == ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sounds", "loud"], "--sounds: 'loud' is not on, off or only"),
        (["--sound_names", "Dog"], "--sound_names: 'Dog' is not NAME=WORDS"),
        (["--sound_names", "Dog=a,Dog=b"], "each name once"),
        (["--sounds", "off", "--sound_names", "Dog=a"], "no effect with --sounds off"),
        (["-f", "json", "--sound_names", "Dog=a"], "--sound_names has no effect on json"),
        (["-f", "json", "--sounds", "only"], "--sounds only has no effect on json"),
        (["--sounds", "only", "--only", "text"], "no effect with --only text"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    run_tercet: Run, recordings: Make, model: Any, words: list[str], told: str
) -> None:
    recordings("Dog.mp3")
    ran = run_tercet("listen", "Dog.mp3", *(["-f", "srt"] if "-f" not in words else []), *words)
    assert (2, 1) == (ran.code, ran.err.count("\n"))
    assert told in ran.err


def test_sounds_that_are_asked_for_are_heard_or_the_model_says_why_not(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("Dog.mp3")
    run_tercet("listen", "Dog.mp3", "-f", "srt", "--sounds", "only")
    assert [("text", "tags")] == fake_model.only  # a real model without the head refuses this
    fake_model.only.clear()
    run_tercet("listen", "Dog.mp3", "-f", "srt", "--sounds", "off")
    assert [] == fake_model.only  # text alone


@pytest.mark.option("--gate")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "auto"),
        (["--gate"], True),
        (["--gate", "True"], True),
        (["--gate=auto"], "auto"),
        (["--gate", "False"], False),
        (["--no-gate"], False),
    ],
)
def test_the_gate_is_the_models_to_use(
    run_tercet: Run, recordings: Make, model: Any, words: list[str], expected: object
) -> None:
    recordings("Dog.mp3")
    run_tercet("listen", "Dog.mp3", *words)
    assert expected == model.calls[-1]["gate"]


@pytest.mark.parametrize(
    ("idle", "words"),
    [
        (False, ["--only", "text", "--gate"]),
        (False, ["--only", "text", "--gate=auto"]),
        (False, ["--only", "text"]),
        (True, ["--only", "text", "--no-gate"]),
        (True, ["--only", "tokens", "--gate"]),
    ],
)
def test_text_opens_the_tag_head_for_the_gate_though_no_tags_are_asked_for(
    run_tercet: Run, recordings: Make, model: Any, idle: bool, words: list[str]
) -> None:
    recordings("Dog.mp3")
    model.has_tokens = True
    run_tercet("listen", "Dog.mp3", *words)
    assert ("none" if idle else None) == model.loaded[-1][1].get("tags")
