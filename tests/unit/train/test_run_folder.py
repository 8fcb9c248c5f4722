"""A run's folder: who may use it, what a resume compares, and what is left when the disk is full."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tercet.errors import OptionError, OutputError, TrainingError

torch = pytest.importorskip("torch")

from tercet.train.environment import commit, environment  # noqa: E402
from tercet.train.run_folder import RunFolder, read_checkpoint  # noqa: E402


class At:
    """Does something after a step."""

    def __init__(self, step: int, act: Any) -> None:
        self.step, self.act = step, act

    def on_progress(self, progress: Any) -> None:
        if progress.step == self.step and progress.phase == "training":
            self.step = -1
            self.act()

    def on_note(self, line: str) -> None:
        pass


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_a_run_is_not_written_over(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", epochs=1)
    with pytest.raises(OptionError, match="holds a run; go on with --resume") as caught:
        toy.toy_fit(tmp_path / "run", epochs=1)
    one_line(caught.value)


def test_there_must_be_a_run_to_go_on_with(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="holds no run to resume; start it without --resume"):
        toy.toy_fit(tmp_path / "run", resume=True)


def test_another_recipe_is_refused_with_the_keys_that_differ(
    toy: ModuleType, tmp_path: Path
) -> None:
    toy.toy_fit(tmp_path / "run", epochs=1)
    with pytest.raises(OptionError) as caught:
        toy.toy_fit(tmp_path / "run", "width=7", resume=True, epochs=1, lr=0.5)
    line = one_line(caught.value)
    assert "loop.lr (was 0.02, now 0.5), width (was 6, now 7)" in line
    assert "loop.epochs" not in line


def test_a_folder_can_be_asked_before_hours_of_other_work(toy: ModuleType, tmp_path: Path) -> None:
    settings = toy.toy_recipe(epochs=1).settings()
    RunFolder(tmp_path / "new").check(settings, resume=False)
    assert not (tmp_path / "new").exists()
    toy.toy_fit(tmp_path / "run", epochs=1)
    RunFolder(tmp_path / "run").check(settings, resume=True)
    with pytest.raises(OptionError, match="holds a run"):
        RunFolder(tmp_path / "run").check(settings, resume=False)
    with pytest.raises(OptionError, match="another recipe"):
        RunFolder(tmp_path / "run").check({**settings, "width": 1}, resume=True)


def test_how_a_run_is_carried_out_may_change(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", max_minutes=1e-9)
    result, _ = toy.toy_fit(
        tmp_path / "run",
        resume=True,
        max_minutes=0,
        workers=1,
        accumulate=2,
        log_steps=1,
        save_minutes=3,
        tensorboard=True,
    )
    assert result.is_finished


def test_other_data_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", max_minutes=1e-9)
    with pytest.raises(TrainingError, match="started with 30 items, and now there are 29"):
        toy.toy_fit(tmp_path / "run", resume=True, data=toy.toy_data(train=toy.Sums(29)))


def test_a_second_run_in_the_folder_is_refused_while_the_first_trains(
    toy: ModuleType, tmp_path: Path
) -> None:
    caught = []

    def second() -> None:
        with pytest.raises(TrainingError, match="another run is using this folder") as error:
            toy.toy_fit(tmp_path / "run", resume=True)
        caught.append(one_line(error.value))

    result, _ = toy.toy_fit(tmp_path / "run", watcher=At(2, second))
    assert 1 == len(caught)
    assert result.is_finished


def test_a_killed_run_does_not_keep_the_folder(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tercet.train.run_folder import RunFolder\n"
        f"RunFolder(Path({str(tmp_path)!r})).hold(); os.kill(os.getpid(), 9)"
    )
    assert -9 == subprocess.run([sys.executable, "-c", program], check=False).returncode
    folder = RunFolder(tmp_path)
    folder.hold()
    folder.release()


def test_a_damaged_checkpoint_is_one_line(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", max_minutes=1e-9)
    path = tmp_path / "run/checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"last\.ckpt: damaged") as caught:
        toy.toy_fit(tmp_path / "run", resume=True)
    one_line(caught.value)


def test_a_checkpoint_of_another_network_is_one_line(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", max_minutes=1e-9)
    wider = toy.ToyTask(toy.ToyRecipe(width=9))
    with pytest.raises(TrainingError, match="does not fit the network") as caught:
        toy.toy_fit(tmp_path / "run", resume=True, task=wider)
    one_line(caught.value)


def test_a_folder_that_cannot_be_made_is_one_line(toy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder") as caught:
        toy.toy_fit(tmp_path / "file" / "run")
    one_line(caught.value)


@contextmanager
def limits_that_end() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def limit(size: int) -> None:
    """From now on the system refuses larger files, as a full disk would."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_can_go_on(
    toy: ModuleType, tmp_path: Path
) -> None:
    expected = weights_of(toy.toy_fit(tmp_path / "undisturbed")[1])
    with limits_that_end(), pytest.raises(OutputError) as caught:
        toy.toy_fit(tmp_path / "run", watcher=At(7, lambda: limit(2000)), save_minutes=0)
    line = one_line(caught.value)
    assert "last.ckpt: not written: file too large; the last checkpoint is kept; make room" in line
    kept = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert 6 == kept["standing"]["step"]
    assert [] == list((tmp_path / "run/checkpoints").glob(".*"))
    _, task = toy.toy_fit(tmp_path / "run", resume=True, save_minutes=0)
    assert all(torch.equal(a, b) for a, b in zip(expected, weights_of(task), strict=True))


def weights_of(task: Any) -> list[Any]:
    return list(task.saved_state().values())


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "last.ckpt"])
def test_a_full_disk_at_the_start_speaks_of_nothing_to_resume(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OutputError) as caught:
            toy.toy_fit(tmp_path / "run", epochs=1)
    line = one_line(caught.value)
    assert f"{name}: not written: no space left on device; nothing was trained yet;" in line
    assert line.endswith("make room, and give the same command again")
    assert toy.toy_fit(tmp_path / "run", epochs=1)[0].is_finished


def test_a_refused_resume_makes_no_folder(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="holds no run to resume"):
        toy.toy_fit(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_for_the_figures_is_one_line_too(toy: ModuleType, tmp_path: Path) -> None:
    told = {"log_steps": 1, "epochs": 1, "epoch_steps": 20}
    with limits_that_end(), pytest.raises(OutputError, match=r"metrics\.jsonl: not written") as e:
        toy.toy_fit(tmp_path / "run", watcher=At(4, lambda: limit(150)), **told)
    one_line(e.value)
    assert toy.toy_fit(tmp_path / "run", resume=True, **told)[0].is_finished


def test_a_checkpoint_is_replaced_and_never_written_over(toy: ModuleType, tmp_path: Path) -> None:
    kept: list[Any] = []
    last = tmp_path / "run/checkpoints/last.ckpt"
    watcher = At(3, lambda: kept.extend([last.read_bytes(), last.open("rb")]))
    toy.toy_fit(tmp_path / "run", watcher=watcher, save_minutes=0)
    with kept[1] as file:
        assert kept[0] == file.read()  # who reads the old one while the new one comes
    assert kept[0] != last.read_bytes()


def test_figures_of_steps_that_were_lost_are_lost_too(toy: ModuleType, tmp_path: Path) -> None:
    toy.toy_fit(tmp_path / "run", watcher=At(6, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    metrics = tmp_path / "run/metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text(before + '{"step": 7, "loss": 9.0}\n{"step": 8, "lo')
    toy.toy_fit(tmp_path / "run", resume=True)
    told = metrics.read_text()
    assert told.startswith(before)
    assert '"loss": 9.0' not in told


def test_each_piece_of_a_run_says_what_it_was_made_with(toy: ModuleType, tmp_path: Path) -> None:
    import json

    toy.toy_fit(tmp_path / "run", max_minutes=1e-9)
    toy.toy_fit(tmp_path / "run", max_minutes=0, resume=True)
    assert 2 == len(json.loads((tmp_path / "run/environment.json").read_text()))


def test_the_commit_is_gits_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"rev-parse": "abc", "ls-files": "x", "status": ""}
    monkeypatch.setattr("tercet.train.environment._git", lambda _, word, *__: answers[word])
    assert "abc" == commit()
    answers["status"] = " M file"
    assert "abc+changes" == commit()
    monkeypatch.setattr("tercet.train.environment._git", lambda *_: None)
    assert commit() is None
    assert environment()["commit"] is None


def test_what_to_do_about_a_full_disk_depends_on_whether_a_checkpoint_is_there(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    full = OSError(28, "No space left on device")
    line = one_line(folder.fault(tmp_path / "recipe.toml", full))
    assert line.endswith(
        "recipe.toml: not written: no space left on device; nothing was trained yet; "
        "make room, and give the same command again"
    )
    folder.checkpoints.mkdir()
    folder.last.write_bytes(b"")
    line = one_line(folder.fault(folder.metrics, full))
    assert line.endswith("the last checkpoint is kept; make room, and go on with --resume")
