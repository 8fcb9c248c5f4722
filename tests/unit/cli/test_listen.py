"""`tercet listen` with a model that hears nothing: what goes where, and what failure does."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.listening.resume import JOURNAL_NAME
from tercet.errors import (
    CheckpointError,
    LanguageError,
    ModelNotFoundError,
    OptionError,
    UndecodableAudioError,
)
from tercet.text.captions import FORMATS, render

Run = Callable[..., Any]
Make = Callable[..., Path]
Say = Callable[..., Any]


def listing(folder: Path) -> list[str]:
    """The visible files."""
    return sorted(path.name for path in folder.iterdir() if path.name != JOURNAL_NAME)


# --- what is printed -------------------------------------------------------------------------


def test_the_text_goes_to_stdout_and_nothing_else_anywhere(
    run_tercet: Run, recordings: Make
) -> None:
    recordings("hello.mp3")
    ran = run_tercet("listen", "hello.mp3")
    assert (0, "hello\n", "") == (ran.code, ran.out, ran.err)


@pytest.mark.option("--output_format")
@pytest.mark.parametrize("spelling", ["--output_format", "--output-format", "--format", "-f"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_one_format_is_printed(
    run_tercet: Run, recordings: Make, say: Say, format_name: str, spelling: str
) -> None:
    recordings("hello.mp3")
    ran = run_tercet("listen", "hello.mp3", spelling, format_name)
    assert render(say("hello"), format_name).rstrip("\n") == ran.out.rstrip("\n")
    assert ran.out.endswith("\n")


def test_several_texts_follow_in_the_order_of_the_arguments(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.order = lambda count: [2, 0, 1]
    assert "b\na\nc\n" == run_tercet("listen", "b.mp3", "a.mp3", "c.mp3").out


def test_a_result_is_printed_as_soon_as_those_before_it_are_through(
    run_tercet: Run, recordings: Make, fake_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.order = lambda count: [1, 0, 2]
    fake_model.answers["a.mp3"] = UndecodableAudioError("a.mp3: not audio")
    fake_model.answers["c.mp3"] = RuntimeError("the machine breaks here")
    with pytest.raises(RuntimeError):
        run_tercet("listen", "a.mp3", "b.mp3", "c.mp3")
    assert "b\n" == capsys.readouterr().out


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_several_results_as_json_say_their_file(
    run_tercet: Run, recordings: Make, format_name: str
) -> None:
    recordings("x/a.mp3", "b.mp3")
    rows = run_tercet("listen", "x/a.mp3", "b.mp3", "-f", format_name).out.splitlines()
    assert ["x/a.mp3", "b.mp3"] == [json.loads(row)["file"] for row in rows]


def test_several_formats_cannot_be_printed(run_tercet: Run, recordings: Make) -> None:
    recordings("a.mp3")
    ran = run_tercet("listen", "a.mp3", "-f", "txt,srt")
    assert (2, "") == (ran.code, ran.out)
    assert "2 formats need --output_dir" in ran.err


@pytest.mark.parametrize("words", [["b.mp3"], ["--channel", "each"]])
@pytest.mark.parametrize("format_name", ["srt", "vtt", "tsv"])
def test_several_subtitles_cannot_be_printed(
    run_tercet: Run, recordings: Make, fake_model: Any, format_name: str, words: list[str]
) -> None:
    recordings("a.mp3", "b.mp3")
    ran = run_tercet("listen", "a.mp3", "-f", format_name, *words)
    assert (2, "") == (ran.code, ran.out)
    assert f"several results as {format_name} need --output_dir" in ran.err
    assert [] == fake_model.loaded


def test_standard_input_is_a_recording_like_others(
    run_tercet: Run, fake_model: Any, tmp_path: Path, say: Say
) -> None:
    fake_model.answers["-"] = say("from the pipe")
    assert "from the pipe\n" == run_tercet("listen", "-").out
    assert 0 == run_tercet("listen", "-", "-o", tmp_path / "out").code
    assert ["stdin.txt"] == listing(tmp_path / "out")
    assert ["-", "-"] == fake_model.heard


def test_no_speech_prints_nothing(
    run_tercet: Run, recordings: Make, fake_model: Any, say: Say
) -> None:
    recordings("a.mp3")
    fake_model.answers["a.mp3"] = say()
    ran = run_tercet("listen", "a.mp3")
    assert (0, "", "") == (ran.code, ran.out, ran.err)


@pytest.mark.option("--verbose")
def test_verbose_tells_how_it_was_heard_on_stderr(run_tercet: Run, recordings: Make) -> None:
    recordings("hello.mp3")
    ran = run_tercet("listen", "hello.mp3", "--verbose")
    assert "hello\n" == ran.out
    assert "hello.mp3: 0:42, language en (0.98)" in ran.err
    assert "[00:00.000 --> 00:01.500] hello" in ran.err
    assert "window 0.00-30.00 s: compression ratio 3.1 is above 2.4" in ran.err


@pytest.mark.option("--quiet")
def test_quiet_leaves_errors_only(
    run_tercet: Run, recordings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings("a.mp3", "b.mp3")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert "==> a.mp3" in run_tercet("listen", "a.mp3", "b.mp3").err
    assert "" == run_tercet("listen", "a.mp3", "b.mp3", "--quiet").err
    assert "gone.mp3: no such file" in run_tercet("listen", "gone.mp3", "--quiet").err
    assert 2 == run_tercet("listen", "a.mp3", "--quiet", "--verbose").code


# --- what is filed ---------------------------------------------------------------------------


@pytest.mark.option("--output_dir")
@pytest.mark.parametrize("spelling", ["--output_dir", "--output-dir", "-o"])
def test_a_folder_gets_every_format_and_stdout_nothing(
    run_tercet: Run, recordings: Make, say: Say, spelling: str
) -> None:
    folder = recordings("hello.mp3") / "new" / "out"
    ran = run_tercet("listen", "hello.mp3", spelling, folder, "--output_format", "all")
    assert (0, "", "") == (ran.code, ran.out, ran.err)
    assert sorted(f"hello.{name}" for name in FORMATS) == listing(folder)
    for name in FORMATS:
        assert render(say("hello"), name) == (folder / f"hello.{name}").read_bytes().decode()


def test_files_of_one_name_do_not_replace_each_other(run_tercet: Run, recordings: Make) -> None:
    folder = recordings("a/talk.mp3", "b/talk.wav", "b/talk.mp3")
    assert 0 == run_tercet("listen", ".", "-o", "out").code
    assert ["a-talk.mp3.txt", "b-talk.mp3.txt", "talk.wav.txt"] == listing(folder / "out")


def test_each_channel_has_its_files(
    run_tercet: Run, recordings: Make, fake_model: Any, say: Say
) -> None:
    folder = recordings("call.mp3")
    fake_model.answers["call.mp3"] = (say("left", channel=0), say("right", channel=1))
    assert (
        0
        == run_tercet("listen", "call.mp3", "--channel", "each", "-o", "out", "-f", "srt,json").code
    )
    expected = ["call.ch0.json", "call.ch0.srt", "call.ch1.json", "call.ch1.srt"]
    assert expected == listing(folder / "out")
    assert 1 == json.loads((folder / "out" / "call.ch1.json").read_text())["channel"]
    assert "left\nright\n" == run_tercet("listen", "call.mp3", "--channel", "each").out


def test_a_file_is_readable_by_whom_the_umask_says(run_tercet: Run, recordings: Make) -> None:
    folder = recordings("a.mp3")
    before = os.umask(0o027)
    try:
        run_tercet("listen", "a.mp3", "-o", "out")
    finally:
        os.umask(before)
    assert 0o640 == (folder / "out" / "a.txt").stat().st_mode & 0o777


def test_a_file_that_cannot_be_written_leaves_nothing_and_stops_no_other(
    run_tercet: Run, recordings: Make
) -> None:
    folder = recordings("a.mp3", "b.mp3") / "out"
    (folder / "a.srt").mkdir(parents=True)
    ran = run_tercet("listen", "a.mp3", "b.mp3", "-o", "out", "-f", "txt,srt")
    assert 1 == ran.code
    assert "tercet: a.mp3: out/a.srt: not written: a folder has this name\n" == ran.err
    assert ["a.srt", "b.srt", "b.txt"] == listing(folder)


def test_a_full_disk_leaves_nothing_half_written(
    run_tercet: Run, recordings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings("a.mp3", "b.mp3") / "out"
    folder.mkdir()
    (folder / "a.txt").write_text("from yesterday")
    whole_open = Path.open

    def open_on_a_full_disk(path: Path, *args: Any, **kwargs: Any) -> Any:
        file = whole_open(path, *args, **kwargs)
        if path.name.endswith(".tmp") and path.name.startswith(".1-"):
            file.close()
            return whole_open(Path("/dev/full"), "wb")
        return file

    monkeypatch.setattr(Path, "open", open_on_a_full_disk)
    ran = run_tercet("listen", "a.mp3", "b.mp3", "-o", "out", "-f", "txt,srt")
    assert 1 == ran.code
    assert "tercet: a.mp3: out/a.srt: not written: no space left on device" in ran.err
    assert ["a.txt"] == listing(folder)
    assert "from yesterday" == (folder / "a.txt").read_text()


@pytest.mark.parametrize("blocked", ["file", "file/out"])
def test_a_folder_that_cannot_be_made_is_found_out_before_the_work(
    run_tercet: Run, recordings: Make, fake_model: Any, blocked: str
) -> None:
    recordings("a.mp3", "file")
    ran = run_tercet("listen", "a.mp3", "-o", blocked)
    assert 1 == ran.code
    assert f"tercet: --output_dir {blocked}: " in ran.err
    assert "choose another folder" in ran.err
    assert [] == fake_model.loaded


# --- what fails ------------------------------------------------------------------------------


def test_a_failed_file_is_one_line_and_the_others_go_on(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.answers["b.mp3"] = UndecodableAudioError("not audio;\nconvert it")
    ran = run_tercet("listen", "a.mp3", "gone.mp3", "b.mp3", "c.mp3")
    assert (1, "a\nc\n") == (ran.code, ran.out)
    assert [
        "tercet: gone.mp3: no such file; check the name",
        "tercet: b.mp3: not audio; convert it",
    ] == ran.err.splitlines()


def test_an_error_that_names_its_input_does_not_name_it_twice(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("b.mp3")
    fake_model.answers["b.mp3"] = UndecodableAudioError("b.mp3: not audio")
    assert "tercet: b.mp3: not audio\n" == run_tercet("listen", "b.mp3").err


def test_no_model_is_loaded_where_nothing_can_be_heard(run_tercet: Run, fake_model: Any) -> None:
    assert 1 == run_tercet("listen", "gone.mp3").code
    assert [] == fake_model.loaded


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (2, ModelNotFoundError("no model 'bass'; did you mean 'base'?")),
        (2, OptionError("--threads cannot be set")),
        (1, CheckpointError("model.bin is damaged; fetch it again")),
    ],
)
def test_a_model_that_cannot_be_used_is_one_line(
    run_tercet: Run, recordings: Make, fake_model: Any, expected: int, error: Exception
) -> None:
    recordings("a.mp3")
    fake_model.load_error = error
    ran = run_tercet("listen", "a.mp3")
    assert (expected, "", f"tercet: {error}\n") == (ran.code, ran.out, ran.err)


@pytest.mark.parametrize("words", [["a.mp3"], ["a.mp3", "b.mp3"], ["a.mp3", "-f", "srt"]])
def test_a_language_that_the_model_does_not_know_is_a_usage_error(
    run_tercet: Run,
    recordings: Make,
    fake_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise LanguageError("'Klingon' is not a language of this model")

    recordings("a.mp3", "b.mp3")
    monkeypatch.setattr(fake_model, "transcribe_many", refuse)
    monkeypatch.setattr(fake_model, "stream", refuse)
    assert 2 == run_tercet("listen", *words, "--language", "Klingon").code


def test_ctrl_c_keeps_what_is_filed_and_says_how_to_go_on(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    folder = recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.answers["b.mp3"] = KeyboardInterrupt()
    ran = run_tercet("listen", ".", "-o", "out")
    assert 130 == ran.code
    assert ["a.txt"] == listing(folder / "out")
    assert (
        "tercet: stopped; 1 of 3 files are finished in out; "
        "the same command with --resume goes on from there\n"
    ) == ran.err


def test_ctrl_c_prints_what_was_waiting_for_its_turn(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.order = lambda count: [2, 0, 1]
    fake_model.answers["a.mp3"] = KeyboardInterrupt()
    ran = run_tercet("listen", "a.mp3", "b.mp3", "c.mp3")
    assert (130, "c\n") == (ran.code, ran.out)
    assert "tercet: stopped; 1 of 3 files were printed\n" == ran.err


# --- --resume --------------------------------------------------------------------------------


@pytest.mark.option("--resume")
def test_resume_hears_only_what_is_not_finished(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    folder = recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.answers["b.mp3"] = KeyboardInterrupt()
    run_tercet("listen", ".", "-o", "out")
    del fake_model.answers["b.mp3"]
    fake_model.heard.clear()
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume").code
    assert ["b.mp3", "c.mp3"] == fake_model.heard
    assert ["a.txt", "b.txt", "c.txt"] == listing(folder / "out")
    assert 0 == run_tercet("listen", ".", "-o", "out", "--resume").code
    assert ["b.mp3", "c.mp3"] == fake_model.heard


def resumed(run_tercet: Run, fake_model: Any, *words: str) -> list[str]:
    """What a run with --resume hears again."""
    fake_model.heard.clear()
    assert 0 == run_tercet("listen", "a.mp3", "b.mp3", "-o", "out", "--resume", *words).code
    return list(fake_model.heard)


@pytest.fixture
def finished(run_tercet: Run, recordings: Make) -> Path:
    folder = recordings("a.mp3", "b.mp3")
    assert 0 == run_tercet("listen", "a.mp3", "b.mp3", "-o", "out", "-f", "txt,srt").code
    return folder


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ([], ["-f", "txt,srt"]),
        ([], ["-f", "srt"]),
        ([], ["-f", "srt", "--batch_size", "3", "--threads", "1"]),
        (["a.mp3", "b.mp3"], ["-f", "txt,vtt"]),
        (["a.mp3", "b.mp3"], ["--language", "de"]),
        (["a.mp3", "b.mp3"], ["--model", "small"]),
        (["a.mp3", "b.mp3"], ["--vad_threshold", "0.4"]),
    ],
)
def test_finished_means_with_these_formats_and_settings(
    run_tercet: Run, fake_model: Any, finished: Path, expected: list[str], words: list[str]
) -> None:
    assert expected == resumed(run_tercet, fake_model, *words)


def test_a_recording_that_changed_is_heard_again(
    run_tercet: Run, fake_model: Any, finished: Path
) -> None:
    (finished / "a.mp3").write_bytes(b"longer than it was before")
    assert ["a.mp3"] == resumed(run_tercet, fake_model)
    os.utime(finished / "b.mp3", ns=(0, 0))
    assert ["b.mp3"] == resumed(run_tercet, fake_model)


def test_a_result_that_is_gone_is_made_again(
    run_tercet: Run, fake_model: Any, finished: Path
) -> None:
    (finished / "out" / "b.srt").unlink()
    assert [] == resumed(run_tercet, fake_model)
    assert ["b.mp3"] == resumed(run_tercet, fake_model, "-f", "txt,srt")


def test_a_torn_journal_costs_one_recording(
    run_tercet: Run, fake_model: Any, finished: Path
) -> None:
    journal = finished / "out" / JOURNAL_NAME
    journal.write_bytes(b"\xff[]\n3\n" + journal.read_bytes()[:-20])
    assert ["b.mp3"] == resumed(run_tercet, fake_model)
    assert [] == resumed(run_tercet, fake_model)


def test_formats_finished_one_after_the_other_add_up(
    run_tercet: Run, fake_model: Any, finished: Path
) -> None:
    assert ["a.mp3", "b.mp3"] == resumed(run_tercet, fake_model, "-f", "vtt")
    assert [] == resumed(run_tercet, fake_model, "-f", "txt,srt,vtt")


def test_resume_needs_a_folder(run_tercet: Run, recordings: Make) -> None:
    recordings("a.mp3")
    ran = run_tercet("listen", "a.mp3", "--resume")
    assert 2 == ran.code
    assert "--resume needs --output_dir" in ran.err


def test_a_recording_that_failed_is_not_called_finished(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3")
    fake_model.answers["a.mp3"] = UndecodableAudioError("not audio")
    run_tercet("listen", "a.mp3", "b.mp3", "-o", "out")
    del fake_model.answers["a.mp3"]
    assert ["a.mp3"] == resumed(run_tercet, fake_model)


# --- the program itself ----------------------------------------------------------------------


def test_tercet_alone_prints_its_help(run_tercet: Run) -> None:
    ran = run_tercet()
    assert (0, "") == (ran.code, ran.err)
    assert "listen" in ran.out
    assert ran.out == run_tercet("--help").out


def test_listen_without_files_is_a_usage_error_in_one_line(run_tercet: Run) -> None:
    ran = run_tercet("listen")
    assert (2, "") == (ran.code, ran.out)
    assert 1 == len(ran.err.splitlines())
    assert "no files" in ran.err


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("did you mean --output_dir?", ["listen", "a.mp3", "--outputdir", "x"]),
        ("--task: 'sing' is not transcribe or translate", ["listen", "a.mp3", "--task=sing"]),
        ("--beam_size comes in a later release", ["listen", "a.mp3", "--beam_size", "5"]),
        ("did you mean 'tercet listen'?", ["lisen", "a.mp3"]),
        ("to hear a file: tercet listen a.mp3", ["a.mp3"]),
        ("options come after a command", ["--model", "base"]),
    ],
)
def test_a_usage_error_is_one_line(run_tercet: Run, expected: str, words: list[str]) -> None:
    ran = run_tercet(*words)
    assert (2, "") == (ran.code, ran.out)
    assert 1 == len(ran.err.splitlines())
    assert expected in ran.err
