"""`tercet listen` for people: a timeline on a terminal, wherever it is asked for, and nowhere else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Make = Callable[..., Path]


@pytest.fixture
def on_terminal(run_tercet: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run_tercet` where standard output is a terminal of 40 columns."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*words: str | Path) -> Any:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        return run_tercet(*words)

    return run


@pytest.fixture
def barked(fake_model: Any, hear: Any, say: Any, sounds: Any, recordings: Make) -> str:
    fake_model.has_tags = True
    fake_model.answers = {"dog.mp3": [hear(say("Come here."), sounds("Rain", "Bark"))]}
    recordings("dog.mp3", "hello.mp3")
    return "dog.mp3"


PLAIN = (
    "   0:00.0  [rain]  0.8 s\n   0:00.0  Come here.\n   0:02.0  [dog barking]  0.8 s\n"
)  # fmt: skip


def test_on_a_terminal_a_timeline_is_printed_in_colour(
    on_terminal: Run, barked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = on_terminal("listen", barked).out
    assert "\x1b[2m   0:00.0\x1b[0m  Come here.\n" in shown
    assert "[dog barking]" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    assert PLAIN == on_terminal("listen", barked).out
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert PLAIN == on_terminal("listen", barked).out


def test_of_text_alone_it_has_the_times(
    on_terminal: Run, recordings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    recordings("hello.mp3")
    assert "   0:00.0  hello\n" == on_terminal("listen", "hello.mp3").out


@pytest.mark.parametrize("words", [["-f", "txt"], ["--sounds", "only", "-f", "txt"]])
def test_a_format_that_is_named_is_kept_on_a_terminal(
    on_terminal: Run,
    barked: str,
    fake_model: Any,
    hear: Any,
    say: Any,
    sounds: Any,
    words: list[str],
) -> None:
    fake_model.answers = {barked: hear(say("Come here."), sounds("Bark"))}
    shown = on_terminal("listen", barked, *words).out
    assert "0:0" not in shown
    assert "\x1b" not in shown


def test_files_are_texts_whatever_standard_output_is(
    on_terminal: Run, recordings: Make, tmp_path: Path
) -> None:
    recordings("hello.mp3")
    ran = on_terminal("listen", "hello.mp3", "-o", tmp_path / "out")
    assert (0, "") == (ran.code, ran.out)
    assert "hello\n" == (tmp_path / "out" / "hello.txt").read_text()


def test_elsewhere_it_is_printed_plain_and_only_when_asked_for(
    run_tercet: Run, barked: str
) -> None:
    assert "Come here.\n" == run_tercet("listen", barked).out
    assert PLAIN == run_tercet("listen", barked, "-f", "timeline").out


def test_a_file_of_it_is_plain_and_lies_beside_txt(
    on_terminal: Run, recordings: Make, tmp_path: Path
) -> None:
    recordings("hello.mp3")
    out = tmp_path / "out"
    assert 0 == on_terminal("listen", "hello.mp3", "-o", out, "-f", "txt,timeline").code
    assert "   0:00.0  hello\n" == (out / "hello.timeline.txt").read_text()
    assert "hello\n" == (out / "hello.txt").read_text()


def test_all_formats_are_those_for_programs(
    run_tercet: Run, recordings: Make, tmp_path: Path
) -> None:
    recordings("hello.mp3")
    run_tercet("listen", "hello.mp3", "-o", tmp_path / "out", "-f", "all")
    assert [] == list((tmp_path / "out").glob("*timeline*"))


def test_sounds_can_be_left_out_and_be_called_otherwise(run_tercet: Run, barked: str) -> None:
    words = ["listen", barked, "-f", "timeline"]
    assert "   0:00.0  Come here.\n" == run_tercet(*words, "--sounds", "off").out
    assert "[woof]" in run_tercet(*words, "--sound_names", "Bark=woof").out


def test_several_follow_each_other_and_without_text_there_are_sounds_alone(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    fake_model.has_tags = True
    recordings("a.mp3", "b.mp3")
    ran = run_tercet("listen", "a.mp3", "b.mp3", "-f", "timeline", "--only", "tags")
    assert (0, "   0:00.0  [a]  0.8 s\n   0:00.0  [b]  0.8 s\n") == (ran.code, ran.out)
