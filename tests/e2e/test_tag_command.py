"""`tercet tag` and `tercet listen --tags` in processes of their own: the shipped model, a random head."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def program(base_model, tmp_path):
    """Run the program in an empty folder; the hub is switched off."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
        command = [sys.executable, "-m", "tercet.cli.main", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
        )

    return run


def test_events_are_printed_and_filed_alike(program, clip, tag_head, tmp_path) -> None:
    bark = clip("esc10-Dog_bark")
    words = ["tag", bark, "--tags", tag_head, "--top_k", "3", "--label_language", "en"]
    printed = program(*words)
    assert (0, "") == (printed.returncode, printed.stderr)
    assert printed.stdout.count("\n") >= 1
    filed = program(*words, "-o", "out", "-f", "npz,all")
    assert (0, "", "") == (filed.returncode, filed.stdout, filed.stderr)
    assert printed.stdout == (tmp_path / "out" / f"{bark.stem}.txt").read_text()
    events = json.loads((tmp_path / "out" / f"{bark.stem}.json").read_text())
    assert printed.stdout.count("\n") == len(events["events"])
    with np.load(tmp_path / "out" / f"{bark.stem}.npz") as grid:
        assert (13, 527) == grid["scores"].shape
        best = max(events["events"], key=lambda event: event["score"])
        assert best["label"] == grid["labels"][grid["scores"].max(axis=0).argmax()]
        assert best["score"] == pytest.approx(grid["scores"].max(), abs=1e-5)


def test_one_pass_gives_the_same_events_beside_the_text(program, clip, tag_head, quantizer) -> None:
    heads = ["--tags", tag_head, "--tokens", quantizer]
    speech = clip("librispeech-4507")
    heard = json.loads(program("listen", speech, "-f", "json", *heads).stdout)
    assert " Why should one not explore everything and study everything?" == heard["text"]
    assert [["text", "tags", "tokens"]] == heard["encoder_passes"]
    alone = json.loads(program("tag", speech, "-f", "json", "--tags", tag_head).stdout)
    assert alone["events"] == heard["sound_events"]
    tokens = json.loads(program("tokenize", speech, "-f", "json", "--tokens", quantizer).stdout)
    assert tokens["windows"] == heard["speech_tokens"]["windows"]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("has no tag head; give one", ["listen", "--only", "text,tags", "--tags", "none"]),
        ("has no tag head; give one", ["tag", "--tags", "none"]),
        ("has no quantizer; give one", ["tokenize", "--tokens", "none"]),
        ("did you mean 'Bark'?", ["tag", "--labels", "Bakr", "--tags", "HEAD"]),
        ("is a tag head; give it as", ["tokenize", "--tokens", "HEAD"]),
        ("no-such-head", ["tag", "--tags", "no-such-head"]),
        ("hop", ["tag", "--tags", "HEAD", "--window", "2", "--hop", "1.2"]),
        ("language", ["tag", "--tags", "HEAD", "--label_language", "xx"]),
    ],
)
def test_what_cannot_be_had_is_a_usage_error_in_one_line(
    program, clip, tag_head, expected, words
) -> None:
    ran = program(*(tag_head if word == "HEAD" else word for word in words), clip("esc10-Rain"))
    assert (2, "", 1) == (ran.returncode, ran.stdout, len(ran.stderr.splitlines()))
    assert expected in ran.stderr


def test_a_damaged_head_is_one_line(program, clip, tag_head, tmp_path) -> None:
    (tmp_path / "short.safetensors").write_bytes(tag_head.read_bytes()[:5000])
    ran = program("tag", clip("esc10-Rain"), "--tags", "short.safetensors")
    assert (1, "", 1) == (ran.returncode, ran.stdout, len(ran.stderr.splitlines()))
    assert "short.safetensors" in ran.stderr


def test_a_licence_that_forbids_something_is_one_note(program, clip, tag_head, tmp_path) -> None:
    from dataclasses import replace

    from tercet.checkpoint.head_file import open_head
    from tercet.convert.head_store import write_head

    head = open_head(tag_head)
    restricted = replace(head, origin=replace(head.origin, licence="CC-BY-NC-SA-4.0"))
    write_head(tmp_path / "nc.safetensors", restricted)
    words = ["tag", clip("esc10-Rain"), "--tags", "nc.safetensors", "--top_k", "1"]
    (line,) = program(*words).stderr.splitlines()
    assert line.startswith("note: ")
    assert "CC-BY-NC-SA-4.0" in line
    assert "" == program(*words, "--quiet").stderr
