"""The loop: what it trains, keeps, writes and refuses. Resuming is `tests/property/test_resume.py`'s."""

import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tercet.errors import OptionError, TrainingError

torch = pytest.importorskip("torch")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weights(task: Any) -> list[Any]:
    return [value.clone() for value in task.saved_state().values()]


def is_same(a: list[Any], b: list[Any]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


class Seen:
    """Remembers what it was told; may act at a step."""

    def __init__(self, at: int = -1, act: Any = None) -> None:
        self.progress: list[Any] = []
        self.at, self.act = at, act

    def on_progress(self, progress: Any) -> None:
        self.progress.append(progress)
        if progress.step == self.at and self.act is not None:
            act, self.act = self.act, None
            act()

    def on_note(self, line: str) -> None:
        pass


def test_it_learns(toy: ModuleType, tmp_path: Path) -> None:
    result, _ = toy.toy_fit(tmp_path / "run", "dropout=0.0", epochs=25)
    losses = [row["valid/loss"] for row in rows(tmp_path / "run") if "valid/loss" in row]
    assert losses[-1] < losses[0] / 4
    assert result.is_finished
    assert min(losses) == pytest.approx(result.metrics["loss"], rel=1e-5)


def test_the_start_is_measured_once_and_training_does_not_notice(
    toy: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    seen = Seen(at=5, act=lambda: signal.raise_signal(signal.SIGINT))
    stopped, _ = toy.toy_fit(folder, "before=true", watcher=seen)
    result, task = toy.toy_fit(folder, "before=true", resume=True)
    assert ("interrupted", None) == (stopped.stopped, result.stopped)
    measured = [row for row in rows(folder) if "before/loss" in row]
    assert [0] == [row["step"] for row in measured]
    assert result.before == stopped.before
    assert pytest.approx(measured[0]["before/loss"], rel=1e-5) == result.before["loss"]
    assert result.before["loss"] > 1.5 * result.metrics["loss"]
    undisturbed, other = toy.toy_fit(tmp_path / "without")
    assert {} == undisturbed.before
    assert is_same(weights(task), weights(other))


def test_a_run_stopped_while_its_start_is_measured_measures_it_again(
    toy: ModuleType, tmp_path: Path
) -> None:
    seen = Seen(at=0, act=lambda: signal.raise_signal(signal.SIGINT))
    stopped, _ = toy.toy_fit(tmp_path / "run", "before=true", watcher=seen)
    assert (0, {}) == (stopped.step, stopped.before)
    whole, _ = toy.toy_fit(tmp_path / "whole", "before=true")
    result, _ = toy.toy_fit(tmp_path / "run", "before=true", resume=True)
    assert whole.before == result.before


def test_figures_of_parts_are_told_apart_from_those_of_all(toy: ModuleType, tmp_path: Path) -> None:
    result, _ = toy.toy_fit(tmp_path / "run")
    assert {"loss"} == set(result.metrics)
    assert {"loss/sum/above", "loss/sum/below"} == set(result.parts)
    assert min(result.parts.values()) < result.metrics["loss"] < max(result.parts.values())
    assert "valid/loss/sum/above" in [name for row in rows(tmp_path / "run") for name in row]


def test_one_seed_gives_one_outcome_and_another_another(toy: ModuleType, tmp_path: Path) -> None:
    found = [weights(toy.toy_fit(tmp_path / str(n), seed=n // 2)[1]) for n in range(3)]
    assert is_same(found[0], found[1])
    assert not is_same(found[0], found[2])


def test_an_epoch_is_a_pass_a_share_of_one_or_a_number_of_steps(
    toy: ModuleType, tmp_path: Path
) -> None:
    told = [{"epoch_share": 0.5}, {}, {"epoch_steps": 7}]
    steps = [
        toy.toy_fit(tmp_path / str(n), epochs=2, **each)[0].step for n, each in enumerate(told)
    ]
    assert [4, 8, 14] == steps  # 30 items in batches of 8


def test_pieces_of_a_batch_give_what_the_whole_batch_gives(toy: ModuleType, tmp_path: Path) -> None:
    for is_summed in (False, True):
        found = []
        for pieces in (1, 4):
            recipe = toy.toy_recipe("dropout=0.0")
            toy.seed_all(0, 0)
            task = toy.ToyTask(recipe.values)
            task.is_summed = is_summed
            folder = tmp_path / f"{is_summed}{pieces}"
            toy.toy_fit(folder, "dropout=0.0", task=task, accumulate=pieces, clip_norm=0.5)
            first = rows(folder)[0]
            found.append((weights(task), [first["loss"], first["gradient_norm"]]))
        for one, four in zip(found[0][0], found[1][0], strict=True):
            assert torch.allclose(one, four, atol=1e-6)
        assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)


def test_a_summed_loss_is_divided_by_what_counts_and_not_by_the_items(
    toy: ModuleType, tmp_path: Path
) -> None:
    recipe = toy.toy_recipe("dropout=0.0", epochs=1, epoch_steps=1, log_steps=1)
    toy.seed_all(0, 0)
    task = toy.ToyTask(recipe.values)
    task.is_summed = True
    draws = toy_draws(toy, 8)
    items = toy.Sums(30)
    x, y = toy.collate([items[draw] for draw in draws])
    with torch.no_grad():
        squares = (task.eval().net(x)[:, 0] - y) ** 2
    expected = float(squares[x[:, 0] > 0].mean())
    toy.toy_fit(tmp_path / "run", "dropout=0.0", task=task, epochs=1, epoch_steps=1, log_steps=1)
    assert expected == pytest.approx(rows(tmp_path / "run")[0]["loss"], rel=1e-5)


def toy_draws(toy: ModuleType, count: int) -> list[Any]:
    from tercet.train.sampling import Sampler, Shuffled

    return Sampler(Shuffled(30, 0), 0).draws(0, count)


def test_gradients_are_clipped(toy: ModuleType, tmp_path: Path) -> None:
    moved = []
    for norm in (0.0, 1e-3):
        recipe = toy.toy_recipe()
        toy.seed_all(0, 0)
        task = toy.ToyTask(recipe.values)
        before = weights(task)
        told = {"optimizer": "sgd", "lr": 1.0, "epochs": 1, "epoch_steps": 1}
        toy.toy_fit(tmp_path / str(norm), task=task, clip_norm=norm, result="last", **told)
        squares = [
            ((a - b).double() ** 2).sum() for a, b in zip(before, weights(task), strict=True)
        ]
        moved.append(float(sum(squares[1:])) ** 0.5)  # the first is a counter
    assert 1e-3 == pytest.approx(moved[1], rel=0.01)
    assert moved[0] > 1e-2


def test_groups_have_their_own_rate_and_decay(toy: ModuleType, tmp_path: Path) -> None:
    class Grouped(toy.ToyTask):
        def parameter_groups(self):
            first, last = self.net[0], self.net[3]
            return [
                {"params": list(first.parameters()), "lr_scale": 0.0},
                {"params": list(last.parameters()), "weight_decay": 0.0},
            ]

    task = Grouped(toy.ToyRecipe())
    before = task.net[0].weight.clone(), task.net[3].weight.clone()
    toy.toy_fit(tmp_path / "run", task=task, epochs=1)
    assert torch.equal(before[0], task.net[0].weight)
    assert not torch.equal(before[1], task.net[3].weight)


def test_balanced_sampling_and_mixed_orders_are_used(toy: ModuleType, tmp_path: Path) -> None:
    import numpy as np

    from tercet.train.sampling import Sequential

    asked: list[int] = []

    class Watched(toy.Sums):
        def __getitem__(self, draw):
            asked.append(draw.index)
            return super().__getitem__(draw)

    only_seven = np.eye(30)[7]
    data = toy.toy_data(train=Watched(30), valid=None, weights=only_seven)
    toy.toy_fit(tmp_path / "a", data=data, epochs=1)
    assert {7} == set(asked)
    asked.clear()
    toy.toy_fit(
        tmp_path / "b", data=toy.toy_data(train=Watched(30), valid=None, order=Sequential(3))
    )
    assert {0, 1, 2} == set(asked)


def test_the_best_epochs_weights_are_given(toy: ModuleType, tmp_path: Path) -> None:
    class Contrary(toy.ToyTask):
        def score(self, metrics):
            return metrics["loss"]  # the worst counts as the best: the first epoch

    kept: list[Any] = []
    task = Contrary(toy.ToyRecipe(dropout=0.0))
    watcher = Seen(at=4, act=lambda: kept.extend(weights(task)))
    result, _ = toy.toy_fit(tmp_path / "run", task=task, watcher=watcher, epochs=8)
    assert "best" == result.weights
    assert is_same(kept, weights(task))
    assert rows(tmp_path / "run")[1]["valid/loss"] == pytest.approx(
        result.metrics["loss"], rel=1e-5
    )


def test_the_average_of_epochs_is_their_plain_mean(toy: ModuleType, tmp_path: Path) -> None:
    result, task = toy.toy_fit(tmp_path / "run", epochs=4, average="epochs", average_from=3)
    states = [
        torch.load(tmp_path / f"run/epochs/epoch-000{n}.ckpt", weights_only=True)["task"]
        for n in (3, 4)
    ]
    assert ["epoch-0003.ckpt", "epoch-0004.ckpt"] == names(tmp_path / "run/epochs")
    given = task.saved_state()
    for name, value in given.items():
        if value.is_floating_point():
            mean = (states[0][name].double() + states[1][name].double()) / 2
            assert torch.equal(mean.float(), value)
        else:
            assert torch.equal(states[1][name], value)
    assert "average" == result.weights
    assert rows(tmp_path / "run")[-1]["average/loss"] == pytest.approx(
        result.metrics["loss"], rel=1e-5
    )


def test_the_moving_average_follows_every_step(toy: ModuleType, tmp_path: Path) -> None:
    kept: list[Any] = []
    recipe = toy.toy_recipe()
    toy.seed_all(0, 0)
    task = toy.ToyTask(recipe.values)
    average = task.net[0].weight.detach().double().clone()

    class Following(Seen):
        def on_progress(self, progress):
            nonlocal average
            if progress.phase == "training":
                decay = min(0.8, (1 + progress.step) / (10 + progress.step))
                average = decay * average + (1 - decay) * task.net[0].weight.detach().double()
                kept.append(progress.step)

    result, _ = toy.toy_fit(
        tmp_path / "run", task=task, watcher=Following(), average="ema", ema_decay=0.8
    )
    assert list(range(1, 13)) == kept
    assert torch.allclose(average.float(), task.net[0].weight, atol=1e-6)
    assert "average" == result.weights


def test_the_learning_rate_in_the_figures_is_the_schedules(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", schedule="linear", epochs=3, log_steps=1)
    found = [row["lr"] for row in rows(tmp_path / "run") if "lr" in row]
    assert [0.02 * (1 - step / 12) for step in range(12)] == pytest.approx(found)


def test_figures_are_means_over_the_steps_of_a_line(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "one", log_steps=1)
    toy.toy_fit(tmp_path / "three", log_steps=3)
    for name in ("loss", "largest", "gradient_norm"):
        single = [row[name] for row in rows(tmp_path / "one") if name in row]
        threes = [row[name] for row in rows(tmp_path / "three") if name in row]
        assert sum(single[:3]) / 3 == pytest.approx(threes[0], rel=1e-5)


def test_the_run_folder_says_what_was_done(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", "width=5")
    folder = tmp_path / "run"
    assert (
        "# changed on the command line: width=5\n[loop]\n" in (folder / "recipe.toml").read_text()
    )
    settings = json.loads((folder / "settings.json").read_text())
    assert (5, 0.02, "constant") == (
        settings["width"],
        settings["loop.lr"],
        settings["loop.schedule"],
    )
    [told] = json.loads((folder / "environment.json").read_text())
    assert {"commit", "packages", "python", "machine", "command", "started"} == set(told)
    assert torch.__version__ == told["packages"]["torch"]
    assert ["best.ckpt", "last.ckpt", "result.ckpt"] == names(folder / "checkpoints")


def test_frozen_parts_are_not_saved(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", epochs=1)
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert {"net.0.weight", "net.0.bias", "net.3.weight", "net.3.bias", "seen"} == set(
        state["task"]
    )


def test_tensorboard_gets_the_figures(toy: ModuleType, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    toy.toy_fit(tmp_path / "run", tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("valid/loss")]
    told = [
        (row["step"], row["valid/loss"]) for row in rows(tmp_path / "run") if "valid/loss" in row
    ]
    assert [step for step, _ in told] == [step for step, _ in found]
    assert [value for _, value in told] == pytest.approx([value for _, value in found], rel=1e-5)


def test_wandb_that_is_not_installed_is_one_line_before_anything_is_trained(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.train.logbook.find_spec", lambda name: None)
    with pytest.raises(OptionError, match="wandb is not installed: pip install wandb"):
        toy.toy_fit(tmp_path / "run", wandb="project")


def test_nothing_is_printed(
    toy: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: Any
) -> None:
    toy.toy_fit(tmp_path / "run", workers=1, epochs=1, precision="bf16")
    assert ("", "") == tuple(capfd.readouterr())
    assert [] == [str(each.message) for each in recwarn.list if "lightning" in each.filename]


def test_bf16_trains(toy: ModuleType, tmp_path: Path) -> None:
    seen = []

    class Looking(toy.ToyTask):
        def training_step(self, batch, batch_idx):
            seen.append(self.net(batch[0]).dtype)
            return super().training_step(batch, batch_idx)

    task = Looking(toy.ToyRecipe())
    toy.toy_fit(tmp_path / "run", task=task, precision="bf16", epochs=1)
    assert {torch.bfloat16} == set(seen)
    assert torch.float32 == task.net[0].weight.dtype


def test_progress_has_every_step_and_every_validation_batch(
    toy: ModuleType, tmp_path: Path
) -> None:
    watcher = Seen()
    toy.toy_fit(tmp_path / "run", watcher=watcher, epochs=2)
    training = [each.step for each in watcher.progress if each.phase == "training"]
    validation = [(p.step, p.done, p.total) for p in watcher.progress if p.phase == "validation"]
    assert list(range(1, 9)) == training
    assert [(4, 1, 2), (4, 2, 2), (8, 1, 2), (8, 2, 2)] == validation
    assert 8 == watcher.progress[0].total_steps
    assert watcher.progress[3].left_s > 0


def test_validation_has_a_stride_and_always_the_last_epoch(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", epochs=5, valid_every=2)
    assert [2, 4, 5] == [row["epoch"] for row in rows(tmp_path / "run") if "valid/loss" in row]


def test_a_run_without_better_validations_ends_early(toy: ModuleType, tmp_path: Path) -> None:
    # A rate at which nothing is learnt: the first validation stays the best.
    result, _ = toy.toy_fit(tmp_path / "run", epochs=9, lr=1e-30, patience=2, weight_decay=0.0)
    scores = [row["epoch"] for row in rows(tmp_path / "run") if "valid/score" in row]
    assert [1, 2, 3] == scores
    assert result.is_finished
    assert "best" == result.weights
    again, _ = toy.toy_fit(
        tmp_path / "run", epochs=9, lr=1e-30, patience=2, weight_decay=0.0, resume=True
    )
    assert result.step == again.step


def test_patience_is_kept_while_it_gets_better(toy: ModuleType, tmp_path: Path) -> None:
    result, _ = toy.toy_fit(tmp_path / "run", "dropout=0.0", epochs=6, patience=1)
    assert result.total_steps == result.step


def test_patience_does_not_go_with_the_mean_of_epochs(toy: ModuleType) -> None:
    with pytest.raises(OptionError, match=r"patience may end a run before the epochs"):
        toy.toy_recipe(patience=1, average="epochs")


def test_training_does_not_notice_validation(toy: ModuleType, tmp_path: Path) -> None:
    with_one = toy.toy_fit(tmp_path / "a", result="last")[1]
    without = toy.toy_fit(tmp_path / "b", result="last", data=toy.toy_data(valid=None))[1]
    assert is_same(weights(with_one), weights(without))


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_items(
    toy: ModuleType, tmp_path: Path
) -> None:
    data = toy.toy_data(train=toy.Sums(30, bad=17))
    with pytest.raises(TrainingError, match=r"loss is not finite at step \d, with items clip") as e:
        toy.toy_fit(tmp_path / "run", data=data)
    assert "\n" not in str(e.value)
    told = json.loads((tmp_path / "run/bad_batch.json").read_text())
    assert "clip 17" in told["items"]
    assert 8 == len(told["items"])
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in state["task"].values())


def test_a_gradient_that_is_not_finite_ends_the_run_too(toy: ModuleType, tmp_path: Path) -> None:
    class Steep(toy.ToyTask):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return loss + (self.net[0].weight * 0).sqrt().sum()  # 0, and infinitely steep

    with pytest.raises(TrainingError, match="gradient is not finite at step 1"):
        toy.toy_fit(tmp_path / "run", task=Steep(toy.ToyRecipe()))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_faulty_item_is_one_line_also_from_a_worker(
    toy: ModuleType, tmp_path: Path, workers: int
) -> None:
    from tercet.errors import AudioNotFoundError

    class Broken(toy.Sums):
        def __getitem__(self, draw):
            if draw.index == 3:
                raise AudioNotFoundError("a.wav: no such file")
            return super().__getitem__(draw)

    with pytest.raises(AudioNotFoundError, match=r"^a\.wav: no such file$"):
        toy.toy_fit(tmp_path / "run", data=toy.toy_data(train=Broken(30)), workers=workers)


def test_workers_change_nothing(toy: ModuleType, tmp_path: Path) -> None:
    alone = toy.toy_fit(tmp_path / "a")[1]
    helped = toy.toy_fit(tmp_path / "b", workers=2)[1]
    assert is_same(weights(alone), weights(helped))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"strategy": "deepspeed"},
            "strategy 'deepspeed': the loop knows auto, ddp .* and, for text, fsdp; give one",
        ),
        ({"accelerator": "quantum"}, "accelerator 'quantum'"),
        ({"accelerator": "cuda"}, "accelerator 'cuda', devices 1"),
    ],
)
def test_devices_that_are_not_there_are_one_line(
    toy: ModuleType, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    if changes.get("accelerator") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(OptionError, match=told) as caught:
        toy.toy_fit(tmp_path / "run", **changes)
    assert "\n" not in str(caught.value)


def test_best_without_validation_is_refused_before_training(
    toy: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="no validation data"):
        toy.toy_fit(tmp_path / "run", result="best", data=toy.toy_data(valid=None))
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_a_second_ctrl_c_does_not_wait_for_the_step(toy: ModuleType, tmp_path: Path) -> None:
    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        toy.toy_fit(tmp_path / "run", watcher=Seen(at=5, act=twice))


def test_a_task_without_parameters_is_one_line(toy: ModuleType, tmp_path: Path) -> None:
    task = toy.ToyTask(toy.ToyRecipe())
    task.requires_grad_(False)
    with pytest.raises(TrainingError, match="nothing to train"):
        toy.toy_fit(tmp_path / "run", task=task)


def test_whoever_watches_is_told_of_each_validation_and_where_a_run_goes_on(
    toy: ModuleType, tmp_path: Path
) -> None:
    class Noting(Seen):
        def __init__(self, *told: Any) -> None:
            super().__init__(*told)
            self.notes: list[str] = []

        def on_note(self, line: str) -> None:
            self.notes.append(line)

    stop = Noting(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    toy.toy_fit(tmp_path / "run", watcher=stop)
    again = Noting()
    toy.toy_fit(tmp_path / "run", watcher=again, resume=True)
    assert [True] == [note.startswith("epoch 1  loss ") for note in stop.notes]
    assert f"{tmp_path / 'run'}: goes on after step 6 of 12" == again.notes[0]
    assert ["epoch 2", "epoch 3"] == [note[:7] for note in again.notes[1:]]
