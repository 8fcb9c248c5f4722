"""`tercet tokenize` and `detokenize` in processes of their own: the shipped model, a random quantizer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tercet.dataset.token_tables import finished_ids, read_table


@pytest.fixture
def program(base_model, tmp_path):
    """Run the program in an empty folder; the hub is switched off."""

    def run(*words: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
        command = [sys.executable, "-m", "tercet.cli.main", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, env=env, input=given, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip

    return run


def test_text_json_and_lines_are_the_same_codes(program, clip, quantizer, tmp_path) -> None:
    speech = clip("librispeech-4507")
    head = ["--tokens", quantizer]
    printed = program("tokenize", speech, *head)
    assert (0, "") == (printed.returncode, printed.stderr)
    assert 0 == program("tokenize", speech, *head, "-o", "out", "-f", "all").returncode
    out = tmp_path / "out" / speech.stem
    assert printed.stdout == out.with_suffix(".txt").read_text()
    (window,) = json.loads(out.with_suffix(".json").read_text())["windows"]
    assert printed.stdout.count("<|sound_0") == len(window["ids"]) == 140
    texts = {
        kind: program("detokenize", out.with_suffix(kind), *head, "--language", "en", "-f", "json")
        for kind in (".txt", ".json", ".jsonl")
    }
    texts["stdin"] = program(
        "detokenize", "-", *head, "--language", "en", "-f", "json", given=printed.stdout
    )
    assert 1 == len({ran.stdout for ran in texts.values()})
    assert "en" == json.loads(texts["stdin"].stdout)["language"]


def test_a_corpus_becomes_a_table_and_a_second_run_adds_what_is_new(
    program, clip, quantizer, tmp_path
) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "corpus" / "x").mkdir(parents=True)
    for name in ("librispeech-4507", "esc10-Rain"):
        (tmp_path / "corpus" / "x" / f"{name}.opus").symlink_to(clip(name))
    words = ["tokenize", "corpus", "-o", "table", "-f", "parquet", "--tokens", quantizer]
    ran = program(*words)
    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)
    (tmp_path / "corpus" / "new.opus").symlink_to(clip("esc10-Dog_bark"))
    assert 2 == program(*words).returncode
    assert 0 == program(*words, "--resume").returncode
    ids = {"x/librispeech-4507.opus", "x/esc10-Rain.opus", "new.opus"}
    assert ids == finished_ids(tmp_path / "table")
    assert 3 == len(list(read_table(tmp_path / "table")))
    texts = program("detokenize", "table", "-f", "json", "--tokens", quantizer, "--language", "en")
    assert ids == {json.loads(line)["name"] for line in texts.stdout.splitlines()}


def test_codes_of_another_codebook_are_one_line(program, clip, quantizer, tmp_path) -> None:
    speech = clip("esc10-Rain")
    head = ["--tokens", quantizer]
    value = json.loads(program("tokenize", speech, *head, "-f", "json").stdout)
    (tmp_path / "other.json").write_text(json.dumps({**value, "codebook": "0123456789abcdef"}))
    ran = program("detokenize", "other.json", *head)
    assert (1, "", 1) == (ran.returncode, ran.stdout, len(ran.stderr.splitlines()))
    assert "other.json" in ran.stderr
    assert "0123456789abcdef" in ran.stderr


def test_match_gives_the_published_packages_codes(program, clip, quantizer) -> None:
    speech = clip("librispeech-4507")
    ours = program("tokenize", speech, "--tokens", quantizer)
    theirs = program("tokenize", speech, "--tokens", quantizer, "--match", "ichigo")
    assert (0, 0) == (ours.returncode, theirs.returncode)
    assert ours.stdout != theirs.stdout
    assert theirs.stdout.startswith("<|sound_start|><|sound_00")
