"""Folders as a training run, `tercet label` and `tercet eval text` leave them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint import Geometry, save_hugging_face
from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.head_naming import head_shapes
from tercet.checkpoint.heads import HeadArrays, Origin, TagHead
from tercet.convert.head_store import write_head

WIDTH = 64


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of this machine counts as a teacher that is here."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-user-cache"))
    monkeypatch.delenv("TERCET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def models(
    tmp_path_factory: pytest.TempPathFactory,
    random_checkpoint: Callable[..., MemoryCheckpoint],
    byte_tokenizer_file: Callable[[int], Path],
) -> dict[int, Path]:
    """Whispers of width 64 in float16, by their decoder layers."""
    folders = {}
    for layers in (2, 4):
        geometry = Geometry(
            n_mels=80, width=WIDTH, encoder_layers=1, encoder_heads=1,
            decoder_layers=layers, decoder_heads=1, vocab_size=51865,
        )  # fmt: skip
        folders[layers] = tmp_path_factory.mktemp("models") / str(layers)
        save_hugging_face(
            random_checkpoint(geometry), folders[layers], dtype="float16",
            tokenizer_file=byte_tokenizer_file(51865),
        )  # fmt: skip
    return folders


@pytest.fixture
def write_model(models: dict[int, Path]) -> Callable[[Path, int], Path]:
    """`write_model(folder, decoder_layers)`: a copy of one of them; returns the folder."""

    def write(folder: Path, decoder_layers: int) -> Path:
        shutil.copytree(models[decoder_layers], folder)
        return folder

    return write


@pytest.fixture
def run_folder(tmp_path: Path, write_model: Callable[[Path, int], Path]) -> Path:
    """`tercet train text`, finished: two layers, taught by a folder of four, on one set of labels."""
    folder = tmp_path / "runs" / "student"
    write_model(folder / "model", 2)
    write_model(tmp_path / "home" / "big-teacher", 4)
    settings = {
        "name": "small-student", "licence": "MIT", "student": str(tmp_path / "home" / "start"),
        "teacher": str(tmp_path / "home" / "big-teacher"), "stored": "float16",
        "data.root": str(tmp_path / "home"), "data.timestamps_share": 0.5, "data.prompts_share": 0.2,
        "data.sets": [{"labels": "labels/read-speech", "weight": 0.0}],
        "loss.divergence": 1.0, "loss.cross_entropy": 0.8, "loss.temperature": 2.0, "loss.states": 0.0,
        "learns.embeddings": True, "learns.encoder": False,
        "loop.batch_size": 8, "loop.lr": 0.001, "loop.optimizer": "adamw", "loop.schedule": "linear",
        "loop.warmup_steps": 50, "loop.precision": "fp32",
    }  # fmt: skip
    report = {
        "model": "model",
        "steps": 1200,
        "weights": "best",
        "validation": {"loss": 1.5, "wer": 0.25},
    }
    made = [{"commit": "a" * 40 + "+changes", "packages": {"tercet": "0.1.0", "torch": "2.13.0"}}]
    for name, value in (("settings", settings), ("report", report), ("environment", made)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "recipe.toml").write_text("name = 'small-student'\n")
    return folder


@pytest.fixture
def label_folder(tmp_path: Path) -> Path:
    """Labels whose filter kept nine tenths of 100 hours; the shards themselves are gone."""
    folder = tmp_path / "home" / "labels" / "read-speech"
    folder.mkdir(parents=True)
    told = {
        "rule": {
            "most_wer": 0.2, "most_cer": None, "least_logprob": -1.0, "most_compression": 2.4,
            "least_speech_s": 0.3, "languages": [], "keep_seams": False,
        },
        "windows": 1000, "kept": 900, "total_s": 360000.0, "kept_s": 324000.0,
        "dropped": {"far from the reference": {"windows": 100, "seconds": 36000.0}},
    }  # fmt: skip
    (folder / "filter.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def write_report(tmp_path: Path) -> Callable[..., Path]:
    """`write_report(name, model, wer)`: a report on 50 utterances; `more` goes to the top."""

    def write(name: str, model: str, wer: float, **more: Any) -> Path:
        scores = {
            "utterances": 50, "left_out": 0, "headline": "wer",
            "wer": {"rate": wer, "interval": [wer - 0.01, wer + 0.01], "size": 1000},
            "cer": {"rate": wer / 2, "interval": None, "size": 5000},
            "repeats_per_1000_words": 1.5,
        }  # fmt: skip
        told = {
            "manifest": "/home/someone/secret/test-clean.jsonl",
            "model": model,
            "scores": scores,
            "by_domain": {"read": {**scores, "wer": {"rate": 0.99, "interval": None}}},
            **more,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(told))
        return path

    return write


@pytest.fixture
def head_file(tmp_path: Path) -> Path:
    """A tag head's file in a folder of its own."""
    head = TagHead(
        layers="mean", n_layers=None, width=WIDTH, hidden=WIDTH, has_projection=False, time_heads=0,
        layer_heads=0, arrays=HeadArrays({}), labels=("Dog", "Rain | hail"),
        origin=Origin(name="street-sounds", licence="CC-BY-4.0", encoder_name="base"),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    shapes = head_shapes(head)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    folder = tmp_path / "heads"
    folder.mkdir()
    write_head(folder / "tags.safetensors", replace(head, arrays=HeadArrays(arrays)))
    return folder / "tags.safetensors"
