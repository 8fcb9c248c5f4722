"""`tercet tokenize` with a model whose codes are the letters of a name. See also test_readings.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.token_files import FORMATS, read_tokens, render_tokens
from tercet.dataset.token_tables import finished_ids, read_table
from tercet.errors import UndecodableAudioError

Run = Callable[..., Any]
Make = Callable[..., Path]


@pytest.mark.parametrize("format_name", FORMATS)
def test_one_format_is_printed(
    run_tercet: Run, recordings: Make, fake_model: Any, codes: Any, format_name: str
) -> None:
    recordings("dog.mp3")
    ran = run_tercet("tokenize", "dog.mp3", "-f", format_name)
    expected = render_tokens(codes(*b"dog"), format_name).rstrip("\n")
    assert (0, f"{expected}\n", "") == (ran.code, ran.out, ran.err)
    assert [("tokens",)] == fake_model.only


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_several_results_as_json_say_their_file(
    run_tercet: Run, recordings: Make, format_name: str
) -> None:
    recordings("x/a.mp3", "b.mp3")
    rows = run_tercet("tokenize", "x/a.mp3", "b.mp3", "-f", format_name).out.splitlines()
    assert ["x/a.mp3", "b.mp3"] == [json.loads(row)["file"] for row in rows]


def test_what_is_filed_can_be_read_back(run_tercet: Run, recordings: Make, codes: Any) -> None:
    folder = recordings("dog.mp3") / "out"
    assert 0 == run_tercet("tokenize", "dog.mp3", "-o", "out", "-f", "all").code
    for name in FORMATS:
        ((stem, tokens),) = read_tokens(folder / f"dog.{name}")
        assert ("dog", list(b"dog")) == (stem, tokens.ids.tolist())


def test_windows_are_printed_while_they_are_heard(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any
) -> None:
    recordings("a.mp3")
    parts = [hear(speech_tokens=codes(*ids)) for ids in ([7], [], [8, 9])]
    fake_model.answers["a.mp3"] = parts
    assert (
        "<|sound_start|><|sound_0007|><|sound_end|>\n"
        "<|sound_start|><|sound_0008|><|sound_0009|><|sound_end|>\n"
    ) == run_tercet("tokenize", "a.mp3").out


EMPTY = "<|sound_start|><|sound_end|>\n"


@pytest.mark.parametrize("words", [[], ["--match", "ichigo"], ["-o", "out"]])
def test_a_recording_too_short_for_a_code_is_an_empty_group_in_text(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any, words: list[str]
) -> None:
    folder = recordings("a.mp3")
    answer = codes() if "--match" in words else hear(speech_tokens=codes())
    fake_model.answers["a.mp3"] = answer
    ran = run_tercet("tokenize", "a.mp3", "--verbose", *words)
    assert 0 == ran.code
    assert "a.mp3: too short for a token" in ran.err
    assert EMPTY == ((folder / "out" / "a.txt").read_text() if "-o" in words else ran.out)


def test_a_recording_too_short_for_a_code_has_its_place_among_others(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any
) -> None:
    recordings("a.mp3", "b.mp3")
    fake_model.answers["a.mp3"] = hear(speech_tokens=codes())
    ran = run_tercet("tokenize", "a.mp3", "b.mp3", "--quiet")
    assert f"{EMPTY}<|sound_start|><|sound_0098|><|sound_end|>\n" == ran.out
    rows = run_tercet("tokenize", "a.mp3", "b.mp3", "--quiet", "-f", "jsonl").out.splitlines()
    told = [(row["file"], row["ids"], row["n_windows"]) for row in map(json.loads, rows)]
    assert [("a.mp3", [], 1), ("b.mp3", [98], 1)] == told


def test_a_recording_without_a_code_is_a_row_of_a_table_and_can_be_read_back(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any
) -> None:
    folder = recordings("a.mp3")
    fake_model.answers["a.mp3"] = hear(speech_tokens=codes())
    assert 0 == run_tercet("tokenize", "a.mp3", "-o", "table", "-f", "parquet").code
    assert {"a.mp3": []} == rows_of(folder / "table")
    assert 0 == run_tercet("tokenize", "a.mp3", "-o", "out", "-f", "all").code
    for name in FORMATS:
        ((stem, tokens),) = read_tokens(folder / "out" / f"a.{name}")
        assert ("a", 0) == (stem, len(tokens))


def test_what_another_command_filed_under_the_same_name_is_not_finished(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    folder = recordings("dog.mp3")
    words = ["dog.mp3", "-o", "out", "-f", "json", "--resume"]
    assert 0 == run_tercet("tag", *words).code
    assert 0 == run_tercet("tokenize", *words).code
    assert [("tags",), ("tokens",)] == fake_model.only
    assert "windows" in json.loads((folder / "out" / "dog.json").read_text())


# --- a table ---------------------------------------------------------------------------------


def rows_of(folder: Path) -> dict[str, list[int]]:
    return {audio_id: tokens.ids.tolist() for audio_id, tokens in read_table(folder)}


@pytest.fixture(autouse=True)
def _parquet(request: pytest.FixtureRequest) -> None:
    if "table" in request.node.name:
        pytest.importorskip("pyarrow")


def test_a_folder_becomes_one_table_with_ids_within_the_folder(
    run_tercet: Run, recordings: Make
) -> None:
    folder = recordings("in/x/dog.mp3", "in/cat.mp3", "cow.wav")
    ran = run_tercet("tokenize", "in", "cow.wav", "-o", "table", "-f", "parquet")
    assert (0, "", "") == (ran.code, ran.out, ran.err)
    expected = {"x/dog.mp3": list(b"dog"), "cat.mp3": list(b"cat"), "cow.wav": list(b"cow")}
    assert expected == rows_of(folder / "table")


def test_paths_that_two_folders_have_in_common_keep_their_folders_in_a_table(
    run_tercet: Run, recordings: Make
) -> None:
    folder = recordings("in/a.mp3", "more/a.mp3", "more/b.mp3")
    assert 0 == run_tercet("tokenize", "in", "more", "-o", "table", "-f", "parquet").code
    assert {"in/a.mp3", "more/a.mp3", "b.mp3"} == finished_ids(folder / "table")


def test_a_name_that_is_no_unicode_can_be_in_a_table(run_tercet: Run, recordings: Make) -> None:
    folder = recordings("in/gr\udcfcn.mp3")
    assert 0 == run_tercet("tokenize", "in", "-o", "table", "-f", "parquet").code
    assert {"gr\\udcfcn.mp3"} == finished_ids(folder / "table")


def test_resume_goes_on_by_the_ids_in_the_table(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    folder = recordings("in/a.mp3", "in/b.mp3", "in/c.mp3")
    fake_model.answers["b.mp3"] = KeyboardInterrupt()
    words = ["tokenize", "in", "-o", "table", "-f", "parquet"]
    ran = run_tercet(*words)
    assert 130 == ran.code
    assert (
        "tercet: stopped; 1 of 3 files are in the table in table; "
        "the same command with --resume goes on from there\n"
    ) == ran.err
    del fake_model.answers["b.mp3"]
    fake_model.heard.clear()
    assert 0 == run_tercet(*words, "--resume").code
    assert ["in/b.mp3", "in/c.mp3"] == fake_model.heard
    assert ["a.mp3", "b.mp3", "c.mp3"] == [audio_id for audio_id, _ in read_table(folder / "table")]
    loaded = len(fake_model.loaded)
    assert 0 == run_tercet(*words, "--resume").code
    assert loaded == len(fake_model.loaded)


def test_no_row_is_added_twice_to_a_table(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    folder = recordings("a.mp3")
    words = ["tokenize", "a.mp3", "-o", "table", "-f", "parquet"]
    assert 0 == run_tercet(*words).code
    fake_model.heard.clear()
    ran = run_tercet(*words)
    assert (2, []) == (ran.code, fake_model.heard)
    assert "table: the table holds a.mp3 already; --resume skips what is there" in ran.err
    assert 1 == len(list(read_table(folder / "table")))


def test_a_failed_file_is_not_in_the_table_and_the_others_are(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    folder = recordings("a.mp3", "b.mp3", "c.mp3")
    fake_model.answers["a.mp3"] = UndecodableAudioError("not audio")
    ran = run_tercet("tokenize", "a.mp3", "b.mp3", "c.mp3", "-o", "table", "-f", "parquet")
    assert (1, "tercet: a.mp3: not audio\n") == (ran.code, ran.err)
    assert {"b.mp3", "c.mp3"} == finished_ids(folder / "table")


def test_a_recording_that_changed_is_not_in_the_table(
    run_tercet: Run, recordings: Make, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recordings("a.mp3", "b.mp3")
    whole = fake_model._hearing

    def hearing(source: str, only: Any) -> Any:
        if source == "a.mp3":
            Path(source).write_bytes(b"it goes on")
        return whole(source, only)

    monkeypatch.setattr(fake_model, "_hearing", hearing)
    ran = run_tercet("tokenize", "a.mp3", "b.mp3", "-o", "table", "-f", "parquet")
    assert 1 == ran.code
    assert "a.mp3: changed after this run began" in ran.err
    assert {"b.mp3"} == finished_ids(folder / "table")


def test_codes_of_another_codebook_are_refused_by_the_table(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any
) -> None:
    from dataclasses import replace

    recordings("a.mp3", "b.mp3")
    other = hear(speech_tokens=replace(codes(1, 2), codebook="0ther"))
    fake_model.answers["b.mp3"] = other
    ran = run_tercet("tokenize", "a.mp3", "b.mp3", "-o", "table", "-f", "parquet")
    assert (1, 1) == (ran.code, len(ran.err.splitlines()))
    assert "b.mp3: has codes of 0ther" in ran.err


def test_every_channel_has_its_row_in_the_table(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any
) -> None:
    folder = recordings("a.mp3")
    channels = tuple(hear(speech_tokens=codes(n, channel=n)) for n in (0, 1))
    fake_model.answers["a.mp3"] = channels
    words = ["--channel", "each", "-o", "table", "-f", "parquet"]
    assert 0 == run_tercet("tokenize", "a.mp3", *words).code
    rows = [(name, one.channel, one.ids.tolist()) for name, one in read_table(folder / "table")]
    assert [("a.mp3", 0, [0]), ("a.mp3", 1, [1])] == rows


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("parquet cannot be printed; give --output_dir", ["-f", "parquet"]),
        ("--output_format parquet goes alone", ["-f", "parquet,json", "-o", "out"]),
        ("txt, json, jsonl, parquet or all", ["-f", "srt"]),
        ("--match: 'whisper-at' is not ichigo, or None", ["--match", "whisper-at"]),
        ("no such option: --threshold", ["--threshold", "0.3"]),
    ],
)
def test_a_usage_error_is_one_line(
    run_tercet: Run, recordings: Make, fake_model: Any, expected: str, words: list[str]
) -> None:
    recordings("a.mp3")
    ran = run_tercet("tokenize", "a.mp3", *words)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert expected in ran.err
    assert [] == fake_model.loaded


@pytest.mark.option("--match")
def test_match_asks_for_the_published_packages_codes(
    run_tercet: Run, recordings: Make, fake_model: Any
) -> None:
    recordings("a.mp3", "b.mp3")
    ran = run_tercet("tokenize", "a.mp3", "b.mp3", "--match", "ichigo")
    assert (0, 2) == (ran.code, len(ran.out.splitlines()))
    assert [{"match": "ichigo", "channel": "mean"}] * 2 == fake_model.calls
    assert [] == fake_model.only


def test_a_recording_too_short_for_a_code_is_noted(
    run_tercet: Run, recordings: Make, fake_model: Any, hear: Any, codes: Any
) -> None:
    recordings("a.mp3")
    fake_model.answers["a.mp3"] = hear(speech_tokens=codes())
    ran = run_tercet("tokenize", "a.mp3", "-f", "json", "--verbose")
    assert "a.mp3: too short for a token" in ran.err
    (window,) = json.loads(ran.out)["windows"]
    assert np.array_equal([], window["ids"])
