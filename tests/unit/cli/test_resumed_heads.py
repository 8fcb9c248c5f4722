"""--resume, heads and adapters: one is what its file holds, not what the file is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tercet.dataset.token_tables import finished_ids

Run = Callable[..., Any]
Make = Callable[..., Path]


@pytest.fixture
def tagged(run_tercet: Run, recordings: Make, fake_model: Any) -> Callable[..., list[str]]:
    """`tagged("--tags", ...)`: what a further run with --resume hears of one recording."""
    recordings("a.mp3")

    def run(*words: str, command: str = "tag") -> list[str]:
        fake_model.heard.clear()
        assert 0 == run_tercet(command, "a.mp3", "-o", "out", "--resume", "--quiet", *words).code
        return list(fake_model.heard)

    return run


def test_a_head_that_was_trained_anew_is_another_head(tagged: Callable[..., list[str]]) -> None:
    head = Path("mine.safetensors")
    head.write_bytes(b"first")
    words = ("--tags", "mine.safetensors")
    assert (["a.mp3"], []) == (tagged(*words), tagged(*words))
    head.write_bytes(b"other")
    assert (["a.mp3"], []) == (tagged(*words), tagged(*words))


def test_a_copy_of_a_head_is_the_same_head(tagged: Callable[..., list[str]]) -> None:
    for name in ("mine.safetensors", "copy.safetensors"):
        Path(name).write_bytes(b"one head")
    heard = tagged("--tags", "mine.safetensors"), tagged("--tags", "./copy.safetensors")
    assert (["a.mp3"], []) == heard


def test_an_adapter_counts_by_its_settings_and_weights_wherever_it_lies(
    tagged: Callable[..., list[str]],
) -> None:
    weights = {"base_model.model.x.lora_A.weight": np.ones((2, 3), np.float32)}
    for name in ("lora", "copy"):
        Path(name).mkdir()
        save_file(weights, Path(name, "adapter_model.safetensors"))
        Path(name, "adapter_config.json").write_text(
            '{"peft_type": "LORA", "r": 2, "lora_alpha": 2}'
        )
    assert ["a.mp3"] == tagged()
    assert ["a.mp3"] == tagged("--adapter", "lora")
    assert [] == tagged("--adapter", "./copy")
    Path("lora", "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 9}')
    assert ["a.mp3"] == tagged("--adapter", "lora")
    save_file({name: 2 * each for name, each in weights.items()}, "copy/adapter_model.safetensors")
    assert ["a.mp3"] == tagged("--adapter", "copy")
    assert ["a.mp3"] == tagged("--adapter", "somebody/lora")
    assert [] == tagged("--adapter", "somebody/lora")


def test_a_head_that_came_with_the_model_counts_too(tagged: Callable[..., list[str]]) -> None:
    folder = Path("./model")
    folder.mkdir()
    words = ("--model", "./model")
    assert (["a.mp3"], []) == (tagged(*words), tagged(*words))
    (folder / "tags.safetensors").write_bytes(b"a head")
    assert (["a.mp3"], []) == (tagged(*words), tagged(*words))
    (folder / "tokens.safetensors").write_bytes(b"which tags are not read from")
    assert [] == tagged(*words)
    (folder / "tags.safetensors").write_bytes(b"another head")
    assert ["a.mp3"] == tagged(*words)
    assert ["a.mp3"] == tagged(*words, "--tags", "none", command="listen")


def test_a_head_of_the_hub_goes_by_its_name_whether_or_not_it_was_fetched(
    tagged: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    words = ("--tokens", "somebody/heads:codes.safetensors")
    assert ["a.mp3"] == tagged(*words, command="tokenize")
    folder = tmp_path / "hub" / "models--somebody--heads"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    (folder / "snapshots" / "c0ffee" / "codes.safetensors").write_bytes(b"a head")
    assert [] == tagged(*words, command="tokenize")
    assert ["a.mp3"] == tagged("--tokens", "somebody/heads:more.safetensors", command="tokenize")


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("another --match (None there, ichigo here)", ["--match", "ichigo"]),
        ("another --channel (mean there, 1 here)", ["--channel", "1"]),
        ("another --compute_type (auto there, float32 here)", ["--compute_type", "float32"]),
        ("another --tokens (", ["--tokens", "new.safetensors"]),
    ],
)
@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_table_takes_no_codes_that_were_made_otherwise(
    run_tercet: Run, recordings: Make, fake_model: Any, expected: str, words: list[str],
    resume: list[str],
) -> None:  # fmt: skip
    pytest.importorskip("pyarrow")
    folder = recordings("a.mp3", "b.mp3")
    for name in ("old.safetensors", "new.safetensors"):
        Path(name).write_text(name)
    given = ["-o", "table", "-f", "parquet", "--tokens", "old.safetensors"]
    assert 0 == run_tercet("tokenize", "a.mp3", *given).code
    fake_model.heard.clear()
    ran = run_tercet("tokenize", "b.mp3", *given, *words, *resume)
    assert (2, 1, []) == (ran.code, len(ran.err.splitlines()), fake_model.heard)
    assert f"table: the table was made with {expected}" in ran.err
    assert "give the same, or choose another folder" in ran.err
    assert {"a.mp3"} == finished_ids(folder / "table")
    assert 0 == run_tercet("tokenize", "b.mp3", *given, *resume).code
    assert {"a.mp3", "b.mp3"} == finished_ids(folder / "table")
