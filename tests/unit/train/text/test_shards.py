"""Networks in shards: two processes on the CPU train what one trains, from labels to a model's folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint import Checkpoint, open_checkpoint
from tercet.checkpoint.save import save_hugging_face
from tercet.dataset.label_table import Span
from tercet.errors import OptionError

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("jiwer")

import torch

from tercet.train.text.running import run

TIME = 50364  # <|0.00|>
RECIPE = """
name = "toy"
teacher = {teacher!r}
student = {student!r}
valid_words = 2
before = true
recompute = true
stored = "float32"
[data]
root = {root!r}
cached = false
timestamps_share = 0.0
[[data.sets]]
labels = "speech"
field = "speaker"
held_out = ["s3"]
[learns]
encoder = true
[loop]
batch_size = 4
epochs = 1
epoch_steps = 4
lr = 0.1
optimizer = "sgd"  # Adam's first steps make a rounded zero as large as any other gradient
clip_norm = 1.0
tensorboard = false
log_steps = 1
"""
TWO = ("loop.devices=2", "loop.accelerator='cpu'", "loop.strategy='fsdp'")
ADAPTER = (
    "adapter.rank=2",
    "learns.encoder=false",
    "data.length='sound'",
    "learns.embeddings=true",
)


@pytest.fixture
def toy(
    pair: Any,
    recordings: Path,
    label_of: Callable[..., Any],
    store: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """A recipe whose windows have texts of one token to 34: no two devices have as many to learn."""
    monkeypatch.undo()  # what `pair` did: other processes find models by their paths
    for name in ("teacher", "student"):
        save_hugging_face(getattr(pair, name), tmp_path / name)
    labels = [
        label_of(
            n,
            spans=(Span(str(recordings / f"{n}.wav"), 0.0, 2.0, 0.0),),
            text_ids=(TIME, *range(300, 301 + 3 * n), TIME + 100),
        )
        for n in range(12)
    ]
    store(tmp_path / "data" / "speech", labels)
    path = tmp_path / "toy.toml"
    names = {name: str(tmp_path / name) for name in ("teacher", "student")}
    path.write_text(RECIPE.format(root=str(tmp_path / "data"), **names))
    return path


def run_apart(
    recipe: Path, folder: Path, overrides: tuple[str, ...]
) -> "subprocess.CompletedProcess[str]":
    words = [word for each in overrides for word in ("--set", each)]
    command = ["-m", "tercet.cli.main", "train", "text", str(recipe), "--out", str(folder)]
    return subprocess.run(
        [sys.executable, *command, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def figures(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "elapsed_s"} for line in lines]


def is_alike(one: Checkpoint, other: Checkpoint) -> bool:
    return all(np.allclose(one.read(name), other.read(name), atol=1e-5) for name in one.names())


@pytest.mark.parametrize("extra", [(), ADAPTER], ids=["all", "adapter"])
def test_two_devices_train_what_one_trains(
    toy: Path, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    """Blocks of decoder and encoder in shards; words are written down by each device for itself."""
    one, two = tmp_path / "one", tmp_path / "two"
    run(toy, one, overrides=extra)
    pieces = "loop.accumulate=1" if extra else "loop.accumulate=2"
    done = run_apart(toy, two, (*extra, *TWO, pieces))
    assert 0 == done.returncode, done.stderr
    alone, both = (
        torch.load(each / "checkpoints/last.ckpt", weights_only=True)["task"] for each in (one, two)
    )
    assert alone.keys() == both.keys()
    for name, value in alone.items():
        assert torch.allclose(value, both[name], atol=1e-5)
    assert {"loss", "gradient_norm", "valid/wer", "before/wer"} <= {
        name for line in figures(one) for name in line
    }
    for ours, theirs in zip(figures(one), figures(two), strict=True):
        assert ours.keys() == theirs.keys()
        # Not word errors: what an untrained student writes is cut as long as its batch's texts are.
        for name in {"loss", "valid/loss", "before/loss"} & ours.keys():
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5)
        # torch's norm of a million numbers is itself wrong by so much; of two halves, by half of it.
        if "gradient_norm" in ours:
            assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)
    if extra:
        files = [each / "adapter" / "adapter_model.safetensors" for each in (one, two)]
        assert files[0].stat().st_size == files[1].stat().st_size
    else:
        assert is_alike(*(open_checkpoint(each / "model") for each in (one, two)))


def test_blocks_in_shards_are_not_compiled(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError,
        match=r"loop.compile: torch cannot compile blocks that are gathered.*give false",
    ) as caught:
        run(toy, tmp_path / "run", overrides=(*TWO, "loop.compile=true"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
