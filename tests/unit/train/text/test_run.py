"""A text decoder from a recipe to a model's folder, with Whispers of random weights."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint import open_checkpoint
from tercet.dataset.encoded import EncodedReader
from tercet.dataset.label_table import read_labels
from tercet.errors import DataError, FingerprintError, OptionError, TrainingError

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("jiwer")

from tercet.convert.fingerprint import encoder_digest
from tercet.train.loop import RunResult
from tercet.train.text import lessons
from tercet.train.text.alignment import HeadShare
from tercet.train.text.data import collate
from tercet.train.text.running import run
from tercet.train.watch import Unwatched

Figures = Callable[[Path, str], list[float]]
RECIPE = """
name = "toy"
teacher = "teacher"
student = "student"
valid_words = 2
stored = "float32"
[data]
root = {root!r}
[[data.sets]]
labels = "speech"
field = "speaker"
held_out = ["3"]
[loop]
batch_size = 2
epochs = 2
epoch_steps = 3
lr = 3e-3
tensorboard = false
log_steps = 1
"""
LIVE = ("data.cached=false",)


class Noting(Unwatched):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_note(self, line: str) -> None:
        self.told.append(line)


@pytest.fixture
def toy(labels: Path, pair: Any, tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE.format(root=str(labels)))
    return path


def arrays(folder: Path) -> dict[str, np.ndarray]:
    found = open_checkpoint(folder / "model")
    return {name: found.read(name) for name in found.names()}


def changed(folder: Path, before: Any) -> set[str]:
    """Names of the arrays that learnt."""
    return {
        name
        for name, value in arrays(folder).items()
        if not np.array_equal(value, np.asarray(before.arrays[name], np.float32))
    }


def test_a_student_learns_and_its_folder_opens(
    toy: Path, pair: Any, tmp_path: Path, figures: Figures
) -> None:
    result = run(toy, tmp_path / "run", overrides=("loop.epoch_steps=6",))
    assert (True, 12) == (result.is_finished, result.step)
    for name in ("cross_entropy", "divergence"):
        values = figures(tmp_path / "run", name)
        assert values[-1] < 0.9 * values[0]
    opened = open_checkpoint(tmp_path / "run" / "model")
    assert (1, 51865) == (opened.geometry.decoder_layers, opened.geometry.vocab_size)
    assert encoder_digest(pair.teacher) == encoder_digest(opened)
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {"loss", "cross_entropy", "divergence", "agreement", "wer"} <= set(told["validation"])
    assert "| wer |" in (tmp_path / "run" / "report.md").read_text()


def test_what_is_heard_is_not_heard_again(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tercet.train.text.encoding import Hearing

    encoded = f"data.encoded={str(tmp_path / 'states')!r}"
    run(toy, tmp_path / "one", overrides=(encoded, "loop.epochs=1"))
    reader = EncodedReader(tmp_path / "states" / "speech")
    assert {f"w{n}" for n in range(12)} == set(reader.keys)
    assert (1500, 32) == reader[0].states.shape
    monkeypatch.setattr(Hearing, "states", lambda *_: pytest.fail("heard again"))
    run(toy, tmp_path / "two", overrides=(encoded, "loop.epochs=1"))


def test_the_encoder_and_what_the_recipe_keeps_do_not_learn(
    toy: Path, pair: Any, tmp_path: Path
) -> None:
    run(toy, tmp_path / "all", overrides=("loop.epochs=1",))
    moved = changed(tmp_path / "all", pair.student)
    assert all(name.startswith("model.decoder.") for name in moved)
    assert "model.decoder.embed_tokens.weight" in moved
    assert "model.decoder.embed_positions.weight" not in moved
    few = ("learns.embeddings=false", "learns.cross_keys_values=false", "learns.positions=true")
    run(toy, tmp_path / "few", overrides=("loop.epochs=1", *few))
    moved = changed(tmp_path / "few", pair.student)
    assert "model.decoder.embed_positions.weight" in moved
    assert "model.decoder.embed_tokens.weight" not in moved
    assert not any("encoder_attn.k_proj" in name or "encoder_attn.v_proj" in name for name in moved)
    assert "model.decoder.layers.0.encoder_attn.q_proj.weight" in moved


@pytest.mark.parametrize("extra", [(), LIVE])
def test_a_resumed_run_gives_the_weights_of_an_undisturbed_one(
    toy: Path, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    class Stop(Unwatched):
        """Ctrl-C after a few steps."""

        def __init__(self) -> None:
            self.left = 4

        def on_progress(self, progress: Any) -> None:
            self.left -= 1
            if not self.left:
                import signal

                signal.raise_signal(signal.SIGINT)

    overrides = ("learns.dropout=0.1", *extra)
    run(toy, tmp_path / "whole", overrides=overrides)
    stopped = run(toy, tmp_path / "parts", overrides=overrides, watcher=Stop())
    assert "interrupted" == stopped.stopped
    assert 0 < stopped.step < 6
    result: RunResult = run(toy, tmp_path / "parts", overrides=overrides, resume=True)
    assert result.is_finished
    one, other = arrays(tmp_path / "whole"), arrays(tmp_path / "parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_sound_is_heard_anew_with_changes_where_nothing_is_cached(
    toy: Path, tmp_path: Path, figures: Figures
) -> None:
    run(toy, tmp_path / "plain", overrides=(*LIVE, "loop.epochs=1"))
    assert not (tmp_path / "plain" / "encoded").exists()
    noisy = ("data.sound.noise_share=1.0", "data.sound.time_masks=2", "data.sound.mel_masks=1")
    run(toy, tmp_path / "noisy", overrides=(*LIVE, *noisy, "loop.epochs=1"))
    one, other = (figures(tmp_path / name, "loss") for name in ("plain", "noisy"))
    assert one != other


def test_a_whole_model_is_fine_tuned_without_a_teacher(
    toy: Path, pair: Any, tmp_path: Path, figures: Figures
) -> None:
    whole = ("student=teacher", "loss.divergence=0.0", "learns.encoder=true", "loop.epochs=1")
    run(toy, tmp_path / "run", overrides=(*LIVE, *whole))
    moved = changed(tmp_path / "run", pair.teacher)
    assert "model.encoder.conv1.weight" in moved
    assert "model.encoder.embed_positions.weight" not in moved
    assert not figures(tmp_path / "run", "divergence")


def test_a_whole_model_learns_what_its_references_say(
    toy: Path,
    labels: Path,
    store: Any,
    pair: Any,
    byte_tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, ...]] = []

    def collated(items: list[Any]) -> Any:
        asked.extend(each.text.targets for each in items)
        return collate(items)

    monkeypatch.setattr(lessons, "collate", collated)
    written = list(read_labels(labels / "speech"))  # "text 0" and so on, says the teacher
    said = [replace(each, reference="Oh!", reference_of="window") for each in written]
    store(tmp_path / "told" / "speech", [*said[:-1], written[-1]])
    whole = ("student=teacher", "loss.divergence=0.0", "loop.epochs=1", "loop.epoch_steps=2")
    sets = "data.sets=[{labels='speech', text='reference', field='speaker', held_out=['3']}]"
    notes = Noting()
    changes = (*whole, sets, f"data.root={str(tmp_path / 'told')!r}")
    assert run(toy, tmp_path / "run", overrides=changes, watcher=notes).is_finished
    assert {" Oh!"} == {byte_tokenizer(51865).decode(each) for each in asked}
    assert {(50259, 50359, 50363, 220)} == {each[:4] for each in asked}  # no timestamps
    assert "speech: left out 1 of 12 windows, which have no reference of their own" in notes.told
    assert "model.decoder.layers.1.fc1.weight" in changed(tmp_path / "run", pair.teacher)


def test_a_mix_is_told_before_and_after_by_set_and_language(
    toy: Path, labels: Path, store: Any, tmp_path: Path
) -> None:
    more = [
        replace(each, id=f"v{each.id}", previous=None, language="vi")
        for each in read_labels(labels / "speech")
    ]
    store(labels / "viet", more)
    sets = "{labels='speech', field='speaker', held_out=['3'], weight=0.25}"
    sets += ", {labels='viet', field='speaker', held_out=['3'], weight=0.75}"
    changes = (f"data.sets=[{sets}]", "valid_words=4", "loop.epochs=1", "loop.epoch_steps=2")
    notes = Noting()
    result = run(toy, tmp_path / "run", overrides=changes, watcher=notes)
    assert "viet: 9 windows, 0.005 h, 75.0 % of the draws, vi; 3 held out" in notes.told
    told = json.loads((tmp_path / "run" / "report.json").read_text())["held_out"]
    assert {"en", "vi"} == set(told["languages"])
    assert {"speech", "viet"} == set(told["sets"])
    vi = told["languages"]["vi"]
    assert (3, 2) == (vi["windows"], vi["written"])
    for when in ("before", "after"):
        assert {"loss", "agreement", "wer", "cer"} == set(vi[when])
        assert vi[when] == told["sets"]["viet"][when]
        # All windows have as many tokens, so the mean of both languages is that of all.
        both = [each[when]["loss"] for each in told["languages"].values()]
        assert pytest.approx(told["all"][when]["loss"]) == np.mean(both)
    assert vi["before"]["loss"] != vi["after"]["loss"]
    assert {"wer", "cer"} == set(vi["teacher"])
    assert not any("/" in name for name in result.metrics)
    assert notes.told[-5].startswith("all: wer ")
    assert notes.told[-1].startswith("language vi: wer ")
    assert 1 == sum(each.startswith("before training  loss ") for each in notes.told)
    run(toy, tmp_path / "without", overrides=(*changes, "before=false", "valid_words=0"))
    told = json.loads((tmp_path / "without" / "report.json").read_text())["held_out"]
    assert ({}, {}) == (told["all"]["before"], told["all"]["teacher"])
    assert {"loss", "agreement"} == set(told["languages"]["vi"]["after"])


def test_a_trained_encoder_leaves_the_teachers_alone(
    toy: Path, pair: Any, tmp_path: Path, figures: Figures
) -> None:
    run(toy, tmp_path / "run", overrides=(*LIVE, "learns.encoder=true", "loop.epochs=1"))
    assert "model.encoder.conv1.weight" in changed(tmp_path / "run", pair.student)
    assert figures(tmp_path / "run", "divergence")


def test_blocks_may_be_drawn_to_the_teachers(toy: Path, tmp_path: Path, figures: Figures) -> None:
    run(toy, tmp_path / "run", overrides=("loss.states=1.0",))
    values = figures(tmp_path / "run", "states")
    assert 0 < values[-1] < values[0]
    run(toy, tmp_path / "without", overrides=("loop.epochs=1",))
    assert not figures(tmp_path / "without", "states")


def test_word_errors_choose_the_best_and_need_not_be_counted(
    toy: Path, tmp_path: Path, figures: Figures
) -> None:
    run(toy, tmp_path / "run")
    assert [-each for each in figures(tmp_path / "run", "valid/wer")] == figures(
        tmp_path / "run", "valid/score"
    )
    run(toy, tmp_path / "quick", overrides=("valid_words=0", "loop.epochs=1"))
    assert not figures(tmp_path / "quick", "valid/wer")
    assert [-each for each in figures(tmp_path / "quick", "valid/loss")] == figures(
        tmp_path / "quick", "valid/score"
    )


def other_vocabulary(pair: Any, random_checkpoint: Any) -> None:
    pair.student = random_checkpoint(replace(pair.student.geometry, vocab_size=51864))


def other_bins(pair: Any, random_checkpoint: Any) -> None:
    pair.student = random_checkpoint(replace(pair.student.geometry, n_mels=128))


def other_encoder(pair: Any, random_checkpoint: Any) -> None:
    pair.student = random_checkpoint(pair.student.geometry, 5)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            other_vocabulary,
            "has a vocabulary of 51864, its teacher teacher of 51865; choose a student",
        ),
        (other_bins, "has mel bins of 128, its teacher teacher of 80"),
        (other_encoder, "student and teacher have different encoders"),
    ],
)
def test_students_of_other_teachers_are_refused(
    toy: Path, pair: Any, random_checkpoint: Any, tmp_path: Path, change: Any, line: str
) -> None:
    change(pair, random_checkpoint)
    with pytest.raises(FingerprintError, match=line):
        run(toy, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_encoder_teaches_where_both_hear(
    toy: Path, pair: Any, random_checkpoint: Any, tmp_path: Path
) -> None:
    student = random_checkpoint(pair.student.geometry, 5)
    student.tokenizer_file = pair.student.tokenizer_file
    pair.student = student
    assert run(toy, tmp_path / "run", overrides=(*LIVE, "loop.epochs=1")).is_finished


def test_one_line_for_recipes_and_data_that_cannot_work(
    toy: Path, pair: Any, random_checkpoint: Any, tmp_path: Path
) -> None:
    toy.write_text(toy.read_text().replace('field = "speaker"\nheld_out = ["3"]\n', ""))
    with pytest.raises(DataError, match="no window is held out; give field and held_out to a set"):
        run(toy, tmp_path / "run")
    with pytest.raises(OptionError, match=r"temprature"):
        run(toy, tmp_path / "run", overrides=("loss.temprature=1",))
    narrow = random_checkpoint(replace(pair.student.geometry, width=16))
    narrow.tokenizer_file = pair.student.tokenizer_file
    pair.student = narrow
    with pytest.raises(
        OptionError, match=r"loss.states compares blocks of width 16 with those of 32"
    ):
        run(toy, tmp_path / "run", overrides=("loss.states=1.0",))


def test_a_loss_that_is_not_finite_names_the_windows_and_keeps_the_checkpoint(
    toy: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"not finite at step \d+, with items w\d"):
        run(toy, tmp_path / "run", overrides=("loop.lr=1e20", "loop.schedule=constant"))
    assert (tmp_path / "run" / "bad_batch.json").exists()


def move(folder: Path, names: tuple[str, ...]) -> None:
    """Recordings disappear from where the labels say they are."""
    from tercet.dataset.label_table import read_labels
    from tercet.dataset.label_writing import LabelWriter

    found = list(read_labels(folder / "speech"))
    (folder / "speech" / "labels-00000.parquet").unlink()
    with LabelWriter(folder / "speech", {"task": "transcribe"}) as writer:
        for each in found:
            gone = each.id in names
            path = each.spans[0].path.replace(".wav", "-gone.wav") if gone else each.spans[0].path
            writer.add([replace(each, spans=(replace(each.spans[0], path=path),))])


@pytest.mark.parametrize("extra", [(), LIVE])
def test_missing_recordings_are_all_named_before_anything_is_heard(
    toy: Path, labels: Path, recordings: Path, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    move(labels, ("w1", "w5"))
    with pytest.raises(DataError, match="2 of 12 recordings are not where they were") as caught:
        run(toy, tmp_path / "run", overrides=extra)
    gone = [str(recordings / f"{n}-gone.wav") for n in (1, 5)]
    assert [f"no such file: {path}" for path in gone] == list(caught.value.faults)
    assert not list(tmp_path.glob("run/encoded/*/*.safetensors"))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_recordings_that_were_heard_may_go(toy: Path, labels: Path, tmp_path: Path) -> None:
    encoded = f"data.encoded={str(tmp_path / 'states')!r}"
    run(toy, tmp_path / "one", overrides=(encoded, "loop.epochs=1"))
    move(labels, tuple(f"w{n}" for n in range(12)))
    assert run(toy, tmp_path / "two", overrides=(encoded, "loop.epochs=1")).is_finished


def test_what_was_heard_before_a_fault_is_kept(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tercet.errors import AudioNotFoundError
    from tercet.train.text.encoding import SpanReader

    whole = SpanReader.window

    def vanish(self: SpanReader, label: Any) -> np.ndarray:
        if label.id == "w4":  # after it was looked for
            raise AudioNotFoundError("4.wav: there is no such file; check the path.")
        return whole(self, label)

    monkeypatch.setattr(SpanReader, "window", vanish)
    with pytest.raises(AudioNotFoundError):
        run(toy, tmp_path / "run")
    assert ("w0", "w1", "w2", "w3") == EncodedReader(tmp_path / "run" / "encoded" / "speech").keys
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_damaged_state_is_told_before_the_first_step(toy: Path, tmp_path: Path) -> None:
    encoded = f"data.encoded={str(tmp_path / 'states')!r}"
    run(toy, tmp_path / "one", overrides=(encoded, "loop.epochs=1"))
    shard = tmp_path / "states" / "speech" / "encoded-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"it is cut short.*remove it: its windows are then"):
        run(toy, tmp_path / "two", overrides=(encoded, "loop.epochs=1"))
    assert not (tmp_path / "two").exists()
    shard.unlink()  # as the line says
    assert run(toy, tmp_path / "two", overrides=(encoded, "loop.epochs=1")).is_finished


@pytest.mark.parametrize(
    ("resume", "changes", "line"),
    [
        (True, (), "holds no run to resume"),
        (True, ("loop.lr=1e-4",), r"loop.lr \(was 0.003, now 0.0001\)"),
        (False, (), "holds a run; go on with --resume"),
    ],
)
def test_a_run_that_cannot_begin_hears_nothing(
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resume: bool,
    changes: tuple[str, ...],
    line: str,
) -> None:
    from tercet.train.text.encoding import Hearing

    if changes or not resume:
        run(toy, tmp_path / "run", overrides=("loop.epochs=1",))
        (tmp_path / "run" / "encoded").rename(tmp_path / "away")
    monkeypatch.setattr(Hearing, "states", lambda *_: pytest.fail("heard"))
    with pytest.raises(OptionError, match=line):
        run(toy, tmp_path / "run", resume=resume, overrides=("loop.epochs=1", *changes))
    assert not (tmp_path / "run" / "encoded").exists()


def test_a_model_that_cannot_be_written_leaves_a_run_that_can_go_on(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tercet.errors import OutputError
    from tercet.train.text import publishing

    def full(*_: Any, **__: Any) -> None:
        raise OutputError("model: cannot be written (no space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "save_hugging_face", full)
        with pytest.raises(OutputError, match="weights are kept: make room, and go on with --res"):
            run(toy, tmp_path / "run", overrides=("loop.epochs=1",))
    assert run(toy, tmp_path / "run", overrides=("loop.epochs=1",), resume=True).is_finished
    assert 1 == open_checkpoint(tmp_path / "run" / "model").geometry.decoder_layers


def test_peak_memory_of_the_losses_does_not_grow_with_the_texts() -> None:
    import torch

    from tercet.train.text.losses import Weights, text_losses

    sizes: list[int] = []

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                sizes.append(out.numel())
            return out

    table = torch.randn(5000, 4)
    for n in (100, 800):
        hidden = torch.randn(n, 4, requires_grad=True)
        targets = torch.randint(5000, (n,))
        with Largest():
            losses = text_losses(hidden, hidden.detach(), table, table, targets, Weights(1, 1, 2))
        losses.total.backward()
    assert max(sizes) <= 128 * 5120  # not 800 x 5000


def test_recomputed_blocks_give_the_same_weights(toy: Path, tmp_path: Path) -> None:
    kept = run(toy, tmp_path / "kept", overrides=("learns.dropout=0.2",))
    again = run(toy, tmp_path / "again", overrides=("learns.dropout=0.2", "recompute=true"))
    assert kept.step == again.step
    first, second = arrays(tmp_path / "kept"), arrays(tmp_path / "again")
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_recomputing_keeps_less_in_memory(pair: Any) -> None:
    import torch

    from tercet.model import load_torch
    from tercet.train.forced import hidden_of_text

    _, decoder = load_torch(pair.student, dtype="float32", taps=False)
    decoder.module.requires_grad_(True)
    width = decoder.module.embed_tokens.weight.shape[1]
    ids, states = torch.arange(40)[None], torch.randn(1, 100, width)

    def kept(recompute: bool) -> int:
        sizes: list[int] = []

        def keep(value: torch.Tensor) -> torch.Tensor:
            sizes.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            hidden_of_text(decoder.module, ids, states, recompute=recompute)
        return sum(sizes)

    assert kept(True) < 0.3 * kept(False)


def test_heads_that_time_words_are_measured_where_labels_have_times(
    toy: Path, pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tercet.train.text import alignment

    def heads(name: str, *overrides: str) -> Any:
        run(toy, tmp_path / name, overrides=("loop.epochs=1", *overrides))
        return open_checkpoint(tmp_path / name / "model").generation.alignment_heads

    pair.student.generation = replace(pair.student.generation, alignment_heads=((0, 1),))
    assert ((0, 1),) == heads("few")  # 6 tokens between timestamps are too few
    monkeypatch.setattr(alignment, "_FEW", 1)
    found = HeadShare(0, 0, 0.9), HeadShare(0, 1, 0.1)
    monkeypatch.setattr(alignment, "measure_heads", lambda *_, **__: found)
    assert ((0, 0),) == heads("measured")
    assert ((0, 1),) == heads("kept", "alignment_windows=0")


def test_what_runs_is_what_was_compiled(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Student and teacher, one block and two; a real compiler's numbers are in tests/parity."""
    from tercet.train import compiling

    ran: list[Any] = []

    def counting(function: Any, dynamic: bool) -> Any:
        def call(layer: Any, *args: Any) -> Any:
            ran.append(layer)
            return function(layer, *args)

        return call

    monkeypatch.setattr(compiling.torch, "compile", counting)
    monkeypatch.setenv("CXX", sys.executable)  # any program that is there
    short = ("loop.epochs=1", "loop.epoch_steps=2", "valid_words=0", "before=false")
    run(toy, tmp_path / "plain", overrides=short)
    assert [] == ran
    run(toy, tmp_path / "compiled", overrides=(*short, "loop.compile=true"))
    validated = 2  # batches of the three held-out windows
    assert 3 * (2 + validated) == len(ran)
    assert 3 == len({id(each) for each in ran})


def test_without_a_compiler_nothing_is_begun(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        OptionError, match=r"loop.compile: needs a C\+\+ compiler.*no-such-compiler; install it"
    ) as caught:
        run(toy, tmp_path / "run", overrides=("loop.compile=true",))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
