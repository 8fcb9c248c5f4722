"""A run that was stopped or killed and goes on gives, to the bit, what an undisturbed one gives."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

TOY = Path(__file__).parents[1] / "unit" / "train" / "toy_run.py"
STEPS = 12
WAYS = (  # everything that has a state of its own
    {},
    {"average": "ema", "ema_decay": 0.9},
    {"average": "epochs", "average_from": 2},
    {"accumulate": 2, "clip_norm": 0.5, "schedule": "cosine", "warmup_steps": 3},
    {"optimizer": "sgd", "momentum": 0.9, "epoch_steps": 4, "log_steps": 5},
    {"workers": 1, "optimizer": "adam"},
)


@pytest.fixture(scope="module")
def toy(peer: Callable[[str], ModuleType]) -> ModuleType:
    """The toy task of the loop's unit tests; requirement `lightning`."""
    peer("lightning")
    spec = importlib.util.spec_from_file_location("tercet_toy_run_property", TOY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def undisturbed(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`undisturbed(options)`: the folder of a run that nobody stopped."""
    done: dict[str, Path] = {}

    def of(options: dict[str, Any]) -> Path:
        key = json.dumps(options, sort_keys=True)
        if key not in done:
            done[key] = tmp_path_factory.mktemp("undisturbed") / "run"
            toy.toy_fit(done[key], **options)
        return done[key]

    return of


class StopAt:
    """Sends this process a signal after a step, or in the validation behind it."""

    def __init__(self, step: int, phase: str) -> None:
        self.step, self.phase = step, phase

    def on_progress(self, progress: Any) -> None:
        if (progress.step, progress.phase) == (self.step, self.phase):
            self.step = -1
            os.kill(os.getpid(), signal.SIGTERM)

    def on_note(self, line: str) -> None:
        pass


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "checkpoints" / name, weights_only=True)
    return state


def is_equal(a: Any, b: Any) -> bool:
    """Tensors to the bit, all else by value."""
    if isinstance(a, torch.Tensor):
        return bool(torch.equal(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(is_equal, a, b))
    return bool(a == b)


def figures(folder: Path) -> list[dict[str, Any]]:
    """All lines, without the time, which no two runs share."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "elapsed_s"} for row in rows]


def assert_same(expected: Path, got: Path) -> None:
    for name in ("last.ckpt", "best.ckpt", "result.ckpt"):
        a, b = checkpoint(expected, name), checkpoint(got, name)
        for part in a.keys() - {"standing"}:
            assert is_equal(a[part], b[part]), (name, part)
    assert figures(expected) == figures(got)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    options=st.sampled_from(WAYS),
    stops=st.lists(
        st.tuples(st.integers(1, STEPS), st.sampled_from(["training", "validation"])),
        max_size=3,
        unique=True,
    ),
)
def test_stopped_anywhere_any_number_of_times(
    toy: ModuleType,
    undisturbed: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    options: dict[str, Any],
    stops: list[tuple[int, str]],
) -> None:
    expected = undisturbed(options)
    folder = tmp_path_factory.mktemp("stopped") / "run"
    result, _ = toy.toy_fit(folder, watcher=StopAt(*stops[0]) if stops else None, **options)
    for stop in stops[1:]:
        if result.is_finished:  # no such validation, or its step was passed
            break
        result, _ = toy.toy_fit(folder, resume=True, watcher=StopAt(*stop), **options)
    if not result.is_finished:
        result, _ = toy.toy_fit(folder, resume=True, **options)
    assert (STEPS, None) == (result.step, result.stopped)
    assert_same(expected, folder)


def started(folder: Path, *words: str, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(TOY), str(folder), *words],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **settings},
    )


def wait_for(run: "subprocess.Popen[str]", line: str) -> None:
    assert run.stdout is not None
    for told in run.stdout:
        if told.strip() == line:
            return
    raise AssertionError(f"the run ended before {line!r}")


def test_killed_at_a_random_step_while_it_saves_after_each(
    toy: ModuleType, undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    options = {"average": "ema", "save_minutes": 0}
    expected = undisturbed({"average": "ema"})
    folder = tmp_path / "run"
    step = random.SystemRandom().randint(2, STEPS - 1)
    run = started(folder, "loop.average=ema", "loop.save_minutes=0")
    try:
        wait_for(run, f"training {step}")
    finally:
        os.kill(run.pid, signal.SIGKILL)
        assert -signal.SIGKILL == run.wait()
    saved = checkpoint(folder, "last.ckpt")["standing"]["step"]
    assert step - 1 <= saved, f"killed after step {step}"
    result, _ = toy.toy_fit(folder, resume=True, **options)
    assert result.is_finished
    assert_same(expected, folder)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_to_all_processes_of_a_run_saves_and_ends_it(
    toy: ModuleType, undisturbed: Callable[..., Path], tmp_path: Path, number: int, reason: str
) -> None:
    expected = undisturbed({})
    folder = tmp_path / "run"
    # It waits for data most of the time, and its worker has no handler of its parent's.
    run = started(folder, "loop.workers=1", TOY_SLOW_S="0.05", TOY_START="spawn")
    try:
        wait_for(run, "training 2")
        os.killpg(run.pid, number)  # as a terminal does: worker processes get it, too
        assert run.stdout is not None
        last = run.stdout.read().splitlines()[-1].split()
        assert 0 == run.wait()
    finally:
        run.kill()
    assert ("result", reason) == (last[0], last[2])
    assert int(last[1]) == checkpoint(folder, "last.ckpt")["standing"]["step"] < STEPS
    assert toy.toy_fit(folder, resume=True)[0].is_finished
    assert_same(expected, folder)


def test_a_run_in_pieces_of_time(
    toy: ModuleType, undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    pieces = 0
    result, _ = toy.toy_fit(folder, max_minutes=1e-9)
    assert (0, "time") == (result.step, result.stopped)
    while not result.is_finished:
        pieces += 1
        result, _ = toy.toy_fit(folder, resume=True, max_minutes=0.004 * pieces)
    assert_same(undisturbed({}), folder)


def test_a_finished_run_is_finished(
    toy: ModuleType, undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first, task = toy.toy_fit(folder, average="epochs")
    again, same = toy.toy_fit(folder, average="epochs", resume=True)
    assert is_equal(task.saved_state(), same.saved_state())
    assert (first.step, first.metrics) == (again.step, again.metrics)


def test_what_comes_back_is_another_where_a_state_is_forgotten(
    toy: ModuleType,
    undisturbed: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison above can fail: without the random states it does."""
    folder = tmp_path / "run"
    toy.toy_fit(folder, watcher=StopAt(5, "training"))
    monkeypatch.setattr("tercet.train.saving.restore_random_states", lambda _: None)
    toy.toy_fit(folder, resume=True)
    a, b = checkpoint(undisturbed({}), "last.ckpt"), checkpoint(folder, "last.ckpt")
    assert not is_equal(a["task"], b["task"])
