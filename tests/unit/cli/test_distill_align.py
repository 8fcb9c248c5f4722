"""`tercet distill align` in this process, on a small random model and recordings of noise."""

import json
from pathlib import Path

import numpy as np
import pytest

from tercet.checkpoint import Generation, Geometry, open_checkpoint, save_hugging_face
from tercet.cli.main import main
from tercet.dataset.label_table import Span
from tercet.dataset.label_writing import LabelWriter
from tercet.train.text import alignment
from tercet.train.text.alignment import HeadShare

GEOMETRY = Geometry(
    n_mels=80,
    width=64,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
)
BEGIN = 50364
SHARES = (HeadShare(1, 1, 0.9), HeadShare(0, 1, 0.88), HeadShare(1, 0, 0.5), HeadShare(0, 0, 0.1))


@pytest.fixture
def model(random_checkpoint, byte_tokenizer_file, tmp_path) -> Path:
    made = random_checkpoint(GEOMETRY)
    made.generation = Generation(alignment_heads=((0, 0),), max_initial_timestamp_index=7)
    tokenizer = byte_tokenizer_file(GEOMETRY.vocab_size)
    save_hugging_face(made, tmp_path / "model", tokenizer_file=tokenizer)
    return tmp_path / "model"


@pytest.fixture
def labels(tmp_path, write_wav, label_of) -> Path:
    write_wav(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 32000))
    timed = (BEGIN, *range(300, 330), BEGIN + 100)
    with LabelWriter(tmp_path / "labels", {"task": "transcribe"}) as writer:
        spans = (Span(str(tmp_path / "noise.wav"), 0.0, 2.0, 0.0),)
        writer.add([label_of(number, spans=spans, text_ids=timed) for number in range(4)])
    return tmp_path / "labels"


@pytest.fixture
def align(model, labels, capsys, monkeypatch):
    """`align("--json")`: (exit code, stdout, stderr)."""

    def run(*words, labels=labels, model=model):
        code = main(["distill", "align", str(model), str(labels), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """How many windows each measurement heard; what it finds is `SHARES`."""
    heard: list[int] = []

    def measure(checkpoint, labels, **_):
        heard.append(len(labels))
        return SHARES

    monkeypatch.setattr(alignment, "measure_checkpoint", measure)
    return heard


def test_heads_are_measured_and_written_and_the_rest_of_the_settings_stays(align, model) -> None:
    before = json.loads((model / "generation_config.json").read_text())
    code, out, _ = align()
    assert 0 == code
    after = json.loads((model / "generation_config.json").read_text())
    heads = after.pop("alignment_heads")
    assert [[0, 0]] == before.pop("alignment_heads")
    assert before == after
    assert f"generation_config.json: {len(heads)} alignment heads." in out
    assert [tuple(pair) for pair in heads] == list(
        open_checkpoint(model).generation.alignment_heads
    )


def test_the_best_are_taken_and_shown(align, measured, model) -> None:
    code, out, _ = align()
    assert 0 == code
    assert ((0, 1), (1, 1)) == open_checkpoint(model).generation.alignment_heads
    assert "| 1 | 1 | 90 % | yes |" in out
    assert "| 1 | 0 | 50 % |  |" in out
    assert [4] == measured


@pytest.mark.option("--windows")
def test_windows_says_how_many_are_heard(align, measured) -> None:
    assert 0 == align("--windows", "2")[0]
    assert [2] == measured
    code, _, err = align("--windows", "0")
    assert 2 == code
    assert "--windows 0: give 1 or more" in err


@pytest.mark.option("--dry_run")
def test_a_dry_run_writes_nothing(align, measured, model) -> None:
    code, out, _ = align("--dry_run")
    assert 0 == code
    assert "| 1 | 1 | 90 % | yes |" in out
    assert ((0, 0),) == open_checkpoint(model).generation.alignment_heads


@pytest.mark.option("--json")
def test_json_has_all_heads(align, measured) -> None:
    told = json.loads(align("--json")[1])
    assert [[0, 1], [1, 1]] == told["alignment_heads"]
    assert [list(each) for each in SHARES] == told["shares"]


@pytest.mark.option("--quiet")
def test_quiet_says_nothing(align, measured) -> None:
    assert (0, "", "") == align("--quiet")


def test_what_cannot_be_measured_is_one_line(align, model, tmp_path, label_of) -> None:
    with LabelWriter(tmp_path / "plain", {}) as writer:
        writer.add([label_of(0, text_ids=(300, 301))])
    cases = {
        "0 tokens lie between timestamps, which is too few": {"labels": tmp_path / "plain"},
        "nowhere": {"model": tmp_path / "nowhere"},
    }
    for line, given in cases.items():
        code, out, err = align(**given)
        assert (True, "") == (code > 0, out)
        assert line in err
        assert 1 == len(err.splitlines())
    assert ((0, 0),) == open_checkpoint(model).generation.alignment_heads
