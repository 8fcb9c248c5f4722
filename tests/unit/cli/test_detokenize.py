"""`tercet detokenize` with a model that reads codes as letters."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet.cli.detokenize import DetokenizeOptions, Detokenizing
from tercet.cli.inputs import Input
from tercet.dataset.token_files import render_tokens
from tercet.errors import HeadError, TokensError
from tercet.results import Progress

Run = Callable[..., Any]
Make = Callable[..., Path]


@pytest.fixture
def token_files(recordings: Make, codes: Any) -> Callable[..., Path]:
    """`token_files("a.txt", "b.json")`: files whose codes are the letters of their names."""

    def make(*names: str) -> Path:
        folder = recordings()
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render_tokens(codes(*path.stem.encode()), path.suffix[1:]))
        return folder

    return make


def test_the_text_of_each_file_is_printed_in_the_order_of_the_arguments(
    run_tercet: Run, token_files: Make
) -> None:
    token_files("dog.txt", "cat.json", "cow.jsonl")
    ran = run_tercet("detokenize", "cow.jsonl", "dog.txt", "cat.json")
    assert (0, "cow\ndog\ncat\n", "") == (ran.code, ran.out, ran.err)


def test_a_folder_stands_for_the_token_files_in_it(run_tercet: Run, token_files: Make) -> None:
    folder = token_files("in/dog.txt", "in/x/cat.json")
    (folder / "in" / "talk.mp3").write_bytes(b"sound")
    assert "dog\ncat\n" == run_tercet("detokenize", "in").out
    (folder / "empty").mkdir()
    assert "empty: no file of speech tokens in this folder" in run_tercet("detokenize", "empty").err


def test_the_text_is_filed_beside_no_file_that_it_was_made_from(
    run_tercet: Run, token_files: Make
) -> None:
    folder = token_files("dog.txt", "cat.json")
    before = (folder / "dog.txt").read_text()
    assert 0 == run_tercet("detokenize", ".", "-o", ".", "-f", "txt,srt").code
    assert before == (folder / "dog.txt").read_text()
    assert ("dog\n", "cat\n") == (
        (folder / "dog.txt.txt").read_text(), (folder / "cat.txt").read_text(),
    )  # fmt: skip


def test_a_table_is_read_recording_by_recording(
    run_tercet: Run, recordings: Make, codes: Any
) -> None:
    pytest.importorskip("pyarrow")
    from tercet.dataset.token_shards import TokenTableWriter

    folder = recordings()
    with TokenTableWriter(folder / "table") as writer:
        writer.add("x/dog.mp3", codes(*b"dog"))
        writer.add("call.mp3", codes(*b"hi", channel=0), codes(*b"ho", channel=1))
    rows = [
        json.loads(row) for row in run_tercet("detokenize", "table", "-f", "jsonl").out.splitlines()
    ]
    assert [("x/dog.mp3", " dog"), ("call.mp3", " hi"), ("call.mp3", " ho")] == [
        (row["name"], row["text"]) for row in rows
    ]
    assert [None, 0, 1] == [row.get("channel") for row in rows]
    assert 0 == run_tercet("detokenize", "table", "-o", "out").code
    names = ["call.mp3.ch0.txt", "call.mp3.ch1.txt", "x-dog.mp3.txt"]
    written = sorted(path.name for path in (folder / "out").iterdir() if path.name[0] != ".")
    assert [f"codes-00000.{name}" for name in names] == written


def test_what_cannot_be_told_apart_by_name_is_by_channel_or_number(
    run_tercet: Run, recordings: Make, codes: Any
) -> None:
    folder = recordings()
    rows = {
        "call.jsonl": [codes(65, channel=0), codes(66, channel=1)],
        "talk.ch1.json": [codes(67, channel=1)],
        "odd.jsonl": [codes(68), codes(69)],
    }
    for name, found in rows.items():
        (folder / name).write_text("\n".join(render_tokens(each, "json") for each in found))
    assert 0 == run_tercet("detokenize", ".", "-o", "out").code
    written = {p.name: p.read_text() for p in (folder / "out").iterdir() if p.name[0] != "."}
    assert {
        "call.ch0.txt": "A\n", "call.ch1.txt": "B\n", "talk.ch1.txt": "C\n",
        "odd.txt": "D\n", "odd.2.txt": "E\n",
    } == written  # fmt: skip


def test_several_texts_of_one_file_cannot_be_printed_as_subtitles(
    run_tercet: Run, recordings: Make, codes: Any
) -> None:
    folder = recordings()
    rows = [render_tokens(codes(65), "json", file=name) for name in ("a", "b")]
    (folder / "two.jsonl").write_text("\n".join(rows))
    ran = run_tercet("detokenize", "two.jsonl", "-f", "srt")
    assert (2, "") == (ran.code, ran.out)
    assert "several results as srt need --output_dir" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "<|sound_start|><|sound_0100|><|sound_0111|><|sound_0103|><|sound_end|>\n",
        "<|sound_0100|><|sound_0111|><|sound_0103|>",
        '{"tokens": "<|sound_0100|><|sound_0111|><|sound_0103|>"}\n',
    ],
)
def test_standard_input_may_hold_text_or_json(
    run_tercet: Run, fake_model: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert "dog\n" == run_tercet("detokenize", "-").out


@pytest.mark.parametrize("content", [b"\xff\xfe", b"nothing of this kind", b"{", b""])
def test_damaged_standard_input_is_one_line(
    run_tercet: Run, fake_model: Any, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    ran = run_tercet("detokenize", "-")
    assert (1, "", 1) == (ran.code, ran.out, len(ran.err.splitlines()))
    assert ran.err.startswith("tercet: stdin: ")


@pytest.mark.parametrize("files", [["bad.txt"], ["bad.txt", "dog.txt"]])
def test_a_damaged_file_is_one_line_and_harms_no_other(
    run_tercet: Run, token_files: Make, files: list[str]
) -> None:
    folder = token_files("dog.txt")
    (folder / "bad.txt").write_text("no token at all")
    ran = run_tercet("detokenize", *files)
    assert (1, 1) == (ran.code, len(ran.err.splitlines()))
    assert "bad.txt" in ran.err
    assert ("dog\n" if len(files) > 1 else "") == ran.out


def test_codes_that_the_model_refuses_are_that_files_error(
    run_tercet: Run, token_files: Make, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(given: Any, **_: Any) -> Any:
        if len(given):
            raise TokensError("speech tokens: made with another codebook")

    token_files("dog.txt")
    monkeypatch.setattr(fake_model, "detokenize", refuse)
    ran = run_tercet("detokenize", "dog.txt", "-f", "json")
    assert (1, "tercet: dog.txt: speech tokens: made with another codebook\n") == (
        ran.code, ran.err,
    )  # fmt: skip


@pytest.mark.parametrize("files", [["dog.txt"], ["dog.txt", "cat.txt"]])
def test_a_model_without_a_quantizer_is_a_usage_error(
    run_tercet: Run,
    token_files: Make,
    fake_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise HeadError("base has no quantizer; give one with tokens=")

    token_files("dog.txt", "cat.txt")
    monkeypatch.setattr(fake_model, "detokenize", refuse)
    ran = run_tercet("detokenize", *files)
    assert (2, "tercet: base has no quantizer; give one with --tokens\n") == (ran.code, ran.err)


def test_progress_is_each_files_own_and_adds_up_over_its_recordings(
    recordings: Make, codes: Any, fake_model: Any
) -> None:
    folder = recordings()
    rows = [render_tokens(codes(65), "json", file=name) for name in ("a", "b")]
    (folder / "two.jsonl").write_text("\n".join(rows))
    (folder / "one.json").write_text(render_tokens(codes(66), "json"))
    options = DetokenizeOptions(files=("two.jsonl", "one.json"))
    work = Detokenizing(options)
    work.begin(fake_model)
    told: list[Progress] = []
    inputs = [Input(str(folder / name), None) for name in options.files]
    assert [0, 1] == [index for index, _ in work.many(inputs, told.append)]
    assert [(0, 42.0), (0, 84.0), (1, 42.0)] == [(at.source_index, at.done_s) for at in told]


@pytest.mark.parametrize("files", [["dog.txt"], ["dog.txt", "cat.txt"]])
def test_a_language_that_nobody_knows_is_a_usage_error(
    run_tercet: Run, token_files: Make, files: list[str]
) -> None:
    token_files("dog.txt", "cat.txt")
    ran = run_tercet("detokenize", *files, "--language", "tlh")
    assert (2, "", "tercet: language 'tlh' is unknown\n") == (ran.code, ran.out, ran.err)


@pytest.mark.option("--language")
@pytest.mark.option("--task")
def test_language_and_task_reach_the_model(
    run_tercet: Run, token_files: Make, fake_model: Any
) -> None:
    token_files("dog.txt")
    run_tercet("detokenize", "dog.txt")
    assert {"language": None, "task": "transcribe"} == fake_model.calls[-1]
    run_tercet("detokenize", "dog.txt", "--language", "de", "--task", "translate")
    assert {"language": "de", "task": "translate"} == fake_model.calls[-1]


def test_resume_reads_only_what_is_not_finished(
    run_tercet: Run, token_files: Make, fake_model: Any
) -> None:
    token_files("in/dog.txt", "in/cat.txt")
    assert 0 == run_tercet("detokenize", "in/dog.txt", "-o", "out").code
    fake_model.heard.clear()
    assert 0 == run_tercet("detokenize", "in", "-o", "out", "--resume").code
    assert 1 == len(fake_model.heard)
