"""One recording, printed while it is heard. See listen.py and printed.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.errors import OutputError, UndecodableAudioError

Run = Callable[..., Any]
Make = Callable[..., Path]
Say = Callable[..., Any]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text in the portions in which it was printed."""
    portions: list[str] = []
    monkeypatch.setattr("tercet.cli.listening.printed.print_text", portions.append)
    return portions


@pytest.fixture
def talk(recordings: Make, fake_model: Any, say: Say) -> str:
    """A recording of three windows."""
    recordings("talk.mp3", "other.mp3")
    fake_model.answers["talk.mp3"] = say("one", "two", "three")
    return "talk.mp3"


def test_each_window_is_printed_as_soon_as_it_is_heard(
    run_tercet: Run, talk: str, printed: list[str]
) -> None:
    run_tercet("listen", talk)
    assert ["one\n", "two\n", "three\n"] == printed
    printed.clear()
    run_tercet("listen", talk, "-f", "jsonl")
    assert [" one", " two", " three"] == [json.loads(line)["text"] for line in printed]


@pytest.mark.parametrize(
    "words", [["-f", "json"], ["-f", "srt"], ["other.mp3"], ["-f", "jsonl", "--channel", "each"]]
)
def test_what_is_whole_only_at_the_end_is_printed_at_the_end(
    run_tercet: Run, talk: str, printed: list[str], words: list[str]
) -> None:
    run_tercet("listen", talk, *words)
    assert "three" in printed[0]


@pytest.mark.parametrize("format_name", ["txt", "jsonl"])
def test_live_or_not_the_same_is_printed(
    run_tercet: Run, talk: str, format_name: str, tmp_path: Path
) -> None:
    live = run_tercet("listen", talk, "-f", format_name).out
    run_tercet("listen", talk, "-f", format_name, "-o", tmp_path)
    assert (tmp_path / f"talk.{format_name}").read_text() == live


def test_a_recording_that_breaks_off_keeps_the_text_before_it(
    run_tercet: Run, talk: str, fake_model: Any, say: Say
) -> None:
    fake_model.answers[talk] = [say("one"), UndecodableAudioError("broken at 30 s")]
    ran = run_tercet("listen", talk)
    assert (1, "one\n", "tercet: talk.mp3: broken at 30 s\n") == (ran.code, ran.out, ran.err)


def test_ctrl_c_keeps_the_text_so_far(
    run_tercet: Run, talk: str, fake_model: Any, say: Say
) -> None:
    fake_model.answers[talk] = [say("one"), KeyboardInterrupt()]
    ran = run_tercet("listen", talk)
    assert (130, "one\n") == (ran.code, ran.out)
    assert "tercet: stopped; the text so far was printed\n" == ran.err


def test_a_full_disk_stops_it_in_one_line(
    run_tercet: Run, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise OutputError("standard output: not written: no space left on device")

    monkeypatch.setattr("tercet.cli.listening.printed.print_text", refuse)
    monkeypatch.setattr("tercet.cli.listening.run.close_stdout", lambda: None)
    ran = run_tercet("listen", talk)
    assert 1 == ran.code
    assert "tercet: standard output: not written: no space left on device\n" == ran.err


def test_silence_is_noted_once_and_only_if_all_of_it_is_silent(
    run_tercet: Run, talk: str, fake_model: Any, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fake_model.answers[talk] = [say("one"), say(), say()]
    assert "no speech found" not in run_tercet("listen", talk).err
    fake_model.answers[talk] = [say(), say()]
    assert 1 == run_tercet("listen", talk).err.count("talk.mp3: no speech found")


def test_a_recording_that_grows_while_it_is_heard_is_told_and_printed(
    run_tercet: Run, talk: str, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fake_model._parts

    def parts(source: str, only: Any, on_progress: Any) -> Any:
        yield from whole(source, only, on_progress)
        Path(source).write_bytes(b"it goes on")

    monkeypatch.setattr(fake_model, "_parts", parts)
    ran = run_tercet("listen", talk)
    assert (1, "one\ntwo\nthree\n") == (ran.code, ran.out)
    assert "talk.mp3: changed after this run began" in ran.err
