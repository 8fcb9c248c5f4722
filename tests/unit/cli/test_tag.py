"""`tercet tag` with a model that hears a sound called as the file. See also test_readings.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.errors import HeadError, SourceOptionError, UndecodableAudioError
from tercet.text.event_formats import FORMATS, render

Run = Callable[..., Any]
Make = Callable[..., Path]


@pytest.mark.parametrize("format_name", FORMATS)
def test_one_format_is_printed(
    run_tercet: Run, recordings: Make, fake_model: Any, sounds: Any, format_name: str
) -> None:
    recordings("Bark.mp3")
    ran = run_tercet("tag", "Bark.mp3", "-f", format_name)
    assert (0, "") == (ran.code, ran.err)
    assert render(sounds("Bark"), format_name).rstrip("\n") == ran.out.rstrip("\n")
    assert [("tags",)] == fake_model.only


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_several_results_as_json_say_their_file(
    run_tercet: Run, recordings: Make, format_name: str
) -> None:
    recordings("x/a.mp3", "b.mp3")
    rows = run_tercet("tag", "x/a.mp3", "b.mp3", "-f", format_name).out.splitlines()
    assert ["x/a.mp3", "b.mp3"] == [json.loads(row)["file"] for row in rows]


def test_all_formats_are_filed_and_the_label_track_is_called_as_audacity_looks_for_it(
    run_tercet: Run, recordings: Make, sounds: Any
) -> None:
    folder = recordings("Bark.mp3") / "out"
    assert 0 == run_tercet("tag", ".", "-o", "out", "-f", "all").code
    names = {name: f"Bark.{name}" for name in FORMATS} | {"audacity": "Bark.audacity.txt"}
    for name, file in names.items():
        assert render(sounds("Bark"), name) == (folder / file).read_text()
    assert len(FORMATS) == len([path for path in folder.iterdir() if path.name[0] != "."])


def test_the_frame_grid_is_filed_for_numpy(run_tercet: Run, recordings: Make, sounds: Any) -> None:
    folder = recordings("Bark.mp3")
    assert 0 == run_tercet("tag", "Bark.mp3", "-o", "out", "-f", "npz,all").code
    assert (folder / "out" / "Bark.json").exists()
    with np.load(folder / "out" / "Bark.npz") as grid:
        assert ["Bark"] == grid["labels"].tolist()
        assert (np.float32, (3, 1)) == (grid["scores"].dtype, grid["scores"].shape)
        assert (0.4, 0.0, 42.0) == (grid["frame_s"], grid["start_s"], grid["duration_s"])


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("npz cannot be printed; give --output_dir", ["-f", "npz"]),
        ("2 formats need --output_dir", ["-f", "txt,json"]),
        ("several results as tsv need --output_dir", ["b.mp3", "-f", "tsv"]),
        ("several results as audacity need --output_dir", ["--channel", "each", "-f", "audacity"]),
        ("txt, json, jsonl, tsv, audacity, npz or all", ["-f", "srt"]),
        ("no such option: --language", ["--language", "de"]),
        ("no such option: --beam_size", ["--beam_size", "5"]),
        ("--match: 'ichigo' is not whisper-at, or None", ["--match", "ichigo"]),
    ],
)
def test_a_usage_error_is_one_line(
    run_tercet: Run, recordings: Make, fake_model: Any, expected: str, words: list[str]
) -> None:
    recordings("a.mp3", "b.mp3")
    ran = run_tercet("tag", "a.mp3", *words)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert expected in ran.err
    assert [] == fake_model.loaded


def test_without_files_it_says_what_to_name(run_tercet: Run) -> None:
    ran = run_tercet("tag")
    assert (2, "") == (ran.code, ran.out)
    assert "tercet tag: no files; name files, folders, patterns" in ran.err


def test_a_recording_without_events_is_noted(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, sounds: Any
) -> None:
    recordings("a.mp3", "b.mp3")
    fake_model.answers["a.mp3"] = hear(tags=sounds())
    ran = run_tercet("tag", "a.mp3", "b.mp3", "--verbose")
    assert 1 == len(ran.out.splitlines())
    assert "a.mp3: no sound event found" in ran.err
    assert "b.mp3: no sound event found" not in ran.err


def test_events_are_printed_while_they_are_heard(
    run_tercet: Run,
    recordings: Make,
    fake_model: Any,
    hear: Any,
    sounds: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portions: list[str] = []
    monkeypatch.setattr("tercet.cli.listening.printed.print_text", portions.append)
    recordings("a.mp3")
    fake_model.answers["a.mp3"] = [hear(tags=sounds(*labels)) for labels in (["x"], [], ["y"])]
    assert 0 == run_tercet("tag", "a.mp3", "-f", "jsonl").code
    assert ["x", "", "y"] == [json.loads(each)["label"] if each else "" for each in portions]


def test_a_failed_file_is_one_line_and_the_others_go_on(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.answers["b.mp3"] = UndecodableAudioError("not audio; convert it")
    ran = run_tercet("tag", "a.mp3", "b.mp3", "c.mp3")
    assert (1, 2) == (ran.code, len(ran.out.splitlines()))
    assert "tercet: b.mp3: not audio; convert it\n" == ran.err


def test_resume_skips_what_is_finished_and_hears_again_what_was_listened_to(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3")
    words = ["-o", "out", "-f", "json"]
    assert 0 == run_tercet("tag", "a.mp3", *words).code
    fake_model.heard.clear()
    assert 0 == run_tercet("tag", ".", *words, "--resume").code
    assert ["b.mp3"] == fake_model.heard
    assert 0 == run_tercet("listen", "a.mp3", *words).code
    fake_model.heard.clear()
    assert 0 == run_tercet("tag", ".", *words, "--resume").code
    assert ["a.mp3"] == fake_model.heard


@pytest.mark.parametrize("option", [["--threshold", "0.2"], ["--match", "whisper-at"]])
def test_other_settings_are_another_result(
    run_tercet: Run, recordings: Make, fake_model: Any, option: list[str]
) -> None:
    recordings("a.mp3")
    words = ["tag", "a.mp3", "-o", "out", "--resume"]
    for expected, more in ((1, []), (1, []), (2, option), (2, option)):
        assert 0 == run_tercet(*words, *more).code
        assert expected == len(fake_model.heard)


@pytest.mark.option("--match")
@pytest.mark.parametrize("files", [["a.mp3"], ["a.mp3", "b.mp3"]])
def test_match_asks_for_the_published_packages_numbers(
    run_tercet: Run, recordings: Make, fake_model: Any, files: list[str]
) -> None:
    recordings("a.mp3", "b.mp3")
    ran = run_tercet("tag", *files, "--match", "whisper-at", "--top_k", "2")
    assert (0, len(files)) == (ran.code, len(ran.out.splitlines()))
    expected = {"match": "whisper-at", "channel": "mean", "top_k": 2}
    assert [expected] * len(files) == fake_model.calls
    assert [] == fake_model.only


def test_under_match_a_bad_file_harms_no_other_and_a_missing_head_all(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3")
    fake_model.answers["a.mp3"] = UndecodableAudioError("a.mp3: not audio")
    ran = run_tercet("tag", "a.mp3", "b.mp3", "--match", "whisper-at")
    assert (1, 1, "tercet: a.mp3: not audio\n") == (ran.code, len(ran.out.splitlines()), ran.err)
    fake_model.answers["a.mp3"] = HeadError("base has no tag head")
    ran = run_tercet("tag", "a.mp3", "b.mp3", "--match", "whisper-at")
    assert (2, "", "tercet: base has no tag head\n") == (ran.code, ran.out, ran.err)


@pytest.mark.parametrize("files", [["-", "b.mp3"], ["-"]])
def test_under_match_what_is_read_once_fails_alone(
    run_tercet: Run, recordings: Make, fake_model: Any, files: list[str]
) -> None:
    recordings("b.mp3")
    error = SourceOptionError("<stdin>: match 'whisper-at' reads it twice; save it to a file first")
    fake_model.answers["-"] = error
    ran = run_tercet("tag", *files, "--match", "whisper-at")
    assert (1, len(files) - 1) == (ran.code, len(ran.out.splitlines()))
    line = "tercet: <stdin>: --match whisper-at reads it twice; save it to a file first\n"
    assert line == ran.err


def test_the_other_readings_head_is_not_opened(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3")
    run_tercet("tag", "a.mp3", "--tags", "t.safetensors")
    given = fake_model.loaded[-1][1]
    assert ("t.safetensors", "none") == (given["tags"], given["tokens"])


@pytest.mark.option("--channel")
def test_the_channel_reaches_the_model(run_tercet: Run, recordings: Make, fake_model: Any) -> None:
    recordings("a.mp3")
    run_tercet("tag", "a.mp3", "--channel", "1")
    assert {"channel": 1} == fake_model.calls[-1]
