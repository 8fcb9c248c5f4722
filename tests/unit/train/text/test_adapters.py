"""Adapters, and students that hear windows as long as they are, from a recipe to a folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint import open_checkpoint
from tercet.checkpoint.adapter import open_adapter, with_adapter
from tercet.dataset.encoded import EncodedReader
from tercet.errors import OptionError, OutputError

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("jiwer")

from tercet.convert.fingerprint import encoder_digest
from tercet.train.run_folder import read_checkpoint
from tercet.train.text.running import run

Figures = Callable[[Path, str], list[float]]
RECIPE = """
name = "toy"
teacher = "teacher"
student = "teacher"
valid_words = 2
stored = "float32"
[data]
root = {root!r}
[[data.sets]]
labels = "speech"
field = "speaker"
held_out = ["3"]
[adapter]
rank = 2
[loop]
batch_size = 2
epochs = 2
epoch_steps = 3
lr = 1e-2
tensorboard = false
log_steps = 1
"""
SHORT = "data.length='sound'"


@pytest.fixture
def toy(labels: Path, pair: Any, tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE.format(root=str(labels)))
    return path


def adapted(folder: Path, pair: Any) -> Any:
    return with_adapter(pair.teacher, open_adapter(folder / "adapter"))


def test_an_adapter_learns_and_the_model_stays(
    toy: Path, pair: Any, tmp_path: Path, figures: Figures
) -> None:
    before = {name: value.copy() for name, value in pair.teacher.arrays.items()}
    result = run(toy, tmp_path / "run", overrides=("loop.epoch_steps=6",))
    assert result.is_finished
    values = figures(tmp_path / "run", "cross_entropy")
    assert values[-1] < values[0]
    assert not (tmp_path / "run" / "model").exists()
    merged = adapted(tmp_path / "run", pair)
    moved = {name for name in merged.names() if not np.array_equal(before[name], merged.read(name))}
    layers = ("self_attn", "encoder_attn", "fc")
    assert moved
    assert all(name.endswith(".weight") and any(each in name for each in layers) for name in moved)
    assert "model.encoder.layers.0.fc1.weight" in moved
    assert "model.decoder.layers.1.encoder_attn.out_proj.weight" in moved
    assert all(np.array_equal(value, pair.teacher.arrays[name]) for name, value in before.items())
    assert "adapter" == json.loads((tmp_path / "run" / "report.json").read_text())["model"]


def test_what_a_checkpoint_of_an_adapters_run_holds_is_the_adapter(
    toy: Path, tmp_path: Path
) -> None:
    run(toy, tmp_path / "run", overrides=("loop.epochs=1",))
    held = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["task"]
    assert held
    assert all(".lora_" in name for name in held)


def test_parts_and_modules_are_chosen(toy: Path, pair: Any, tmp_path: Path) -> None:
    few = ("adapter.encoder=false", "adapter.modules=['q_proj']", "adapter.alpha=3.0")
    run(toy, tmp_path / "run", overrides=(*few, "loop.epochs=1"))
    opened = open_adapter(tmp_path / "run" / "adapter")
    names = {name.rpartition(".lora_")[0] for name in opened.source.stored_names()}
    assert {
        f"base_model.model.model.decoder.layers.{layer}.{part}.q_proj"
        for layer in (0, 1)
        for part in ("self_attn", "encoder_attn")
    } == names
    assert (2, 3.0, False) == (
        opened.settings.rank,
        opened.settings.alpha,
        opened.true_length,
    )
    assert not adapted(tmp_path / "run", pair).changes_encoder


def test_modules_that_are_none_are_named(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"adapter\.modules: no layer is called query; give q_proj"
    ):
        run(toy, tmp_path / "run", overrides=("adapter.modules=['query']",))


def test_a_resumed_run_gives_the_adapter_of_an_undisturbed_one(
    toy: Path, pair: Any, tmp_path: Path
) -> None:
    more = ("adapter.dropout=0.1", SHORT, "loop.save_minutes=0")
    run(toy, tmp_path / "whole", overrides=more)
    stopped = run(toy, tmp_path / "parts", overrides=(*more, "loop.max_minutes=1e-9"))
    assert not stopped.is_finished
    result = run(toy, tmp_path / "parts", overrides=more, resume=True)
    assert result.is_finished
    one, other = (adapted(tmp_path / name, pair) for name in ("whole", "parts"))
    assert all(np.array_equal(one.read(name), other.read(name)) for name in one.names())


def test_a_window_is_heard_at_its_own_length_beside_its_teachers_30_s(
    toy: Path, pair: Any, tmp_path: Path
) -> None:
    heard = []
    original = pair.teacher.geometry
    from tercet.model.encoder import AudioEncoder

    forward = AudioEncoder.forward

    def listen(self: AudioEncoder, mel: Any) -> Any:
        heard.append(tuple(mel.shape[1:]))
        return forward(self, mel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AudioEncoder, "forward", listen)
        run(toy, tmp_path / "run", overrides=(SHORT, "loop.epochs=1"))
    assert {(original.n_mels, 200)} == set(heard)  # 2 s
    reader = EncodedReader(tmp_path / "run" / "encoded" / "speech")
    assert (1500, 32) == reader[0].states.shape
    assert adapted(tmp_path / "run", pair).generation.true_length


def test_it_is_the_same_whether_the_teachers_states_are_kept(
    toy: Path, tmp_path: Path, pair: Any, figures: Figures
) -> None:
    losses = []
    for name, cached in (("kept", "true"), ("live", "false")):
        run(toy, tmp_path / name, overrides=(SHORT, f"data.cached={cached}", "loop.epochs=1"))
        losses.append(figures(tmp_path / name, "divergence"))
    # Kept states are of another engine; and the last two columns of live sound see its reflection.
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_whole_model_learns_to_do_without_padding(toy: Path, tmp_path: Path) -> None:
    whole = ("adapter.rank=0", "learns.encoder=true", SHORT, "loop.epochs=1")
    run(toy, tmp_path / "run", overrides=whole)
    opened = open_checkpoint(tmp_path / "run" / "model")
    assert opened.generation.true_length
    told = json.loads((tmp_path / "run" / "model" / "generation_config.json").read_text())
    assert told["true_length"] is True


def test_kept_states_are_the_teachers_where_the_student_hears_for_itself(
    toy: Path, pair: Any, random_checkpoint: Any, tmp_path: Path
) -> None:
    student = random_checkpoint(pair.student.geometry, 5)
    student.tokenizer_file = pair.student.tokenizer_file
    pair.student = student
    other = ("student='student'", "adapter.rank=0", "learns.encoder=true", "loop.epochs=1")
    run(toy, tmp_path / "run", overrides=other)
    about = EncodedReader(tmp_path / "run" / "encoded" / "speech").about
    assert encoder_digest(pair.teacher) == about.encoder


@pytest.mark.parametrize(
    ("who", "line"),
    [
        ("teacher", "teacher hears windows as long as they are, and a teacher hears 30 s"),
        ("student", "student hears windows as long as they are; give data.length = .sound."),
    ],
)
def test_lengths_that_do_not_fit_are_refused(
    toy: Path, pair: Any, tmp_path: Path, who: str, line: str
) -> None:
    made = getattr(pair, who)
    made.generation = replace(made.generation, true_length=True)
    with pytest.raises(OptionError, match=line):
        run(toy, tmp_path / "run", overrides=("student='student'", "adapter.rank=0"))


def test_an_adapters_folder_is_not_written_over_something_else(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "adapter").mkdir(parents=True)
    (tmp_path / "run" / "adapter" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"adapter: holds notes\.txt, which would be lost"):
        run(toy, tmp_path / "run", overrides=("loop.epochs=1",))
