"""`tercet train` in this process, with a trainer that trains nothing."""

import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tercet.cli import train_progress
from tercet.cli.train import run
from tercet.cli.train_progress import TrainScreen, status_text
from tercet.errors import DataError, HeadError, ModelNotFoundError, OptionError, OutputError
from tercet.train.watch import TrainProgress


@dataclass
class Trainer:
    """Stands for `tercet.train.tags.running`: remembers how it was called, ends as it is told."""

    stopped: str | None = None
    error: BaseException | None = None
    act: Callable[[], object] = lambda: None
    calls: list[dict[str, Any]] = field(default_factory=list)

    def run(self, recipe: Path, folder: Path, **options: Any) -> Any:
        self.calls.append({"recipe": recipe, "folder": folder, **options})
        self.act()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(
            is_finished=self.stopped is None,
            stopped=self.stopped,
            step=30,
            total_steps=40,
            weights="best",
            metrics={"map": 0.41234567},
        )


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainer:
    pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text("[loop]\n")
    made = Trainer()
    module = ModuleType("tercet.train.tags.running")
    module.run = made.run
    monkeypatch.setitem(sys.modules, "tercet.train.tags.running", module)
    return made


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]):
    """`ask("tags", ..)`: (exit code, stdout, stderr)."""

    def of(*words: str) -> tuple[int, str, str]:
        code = run(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return of


def test_a_finished_run_prints_its_figures(trainer: Trainer, ask) -> None:
    assert (0, "runs/small: 30 steps, best weights  map 0.4123\n", "") == ask("tags", "small.toml")
    [call] = trainer.calls
    assert (Path("small.toml"), Path("runs/small"), False, ()) == (
        call["recipe"],
        call["folder"],
        call["resume"],
        call["overrides"],
    )


def test_the_options_reach_the_trainer(trainer: Trainer, ask) -> None:
    words = [
        "--out",
        "here",
        "--resume",
        "--max_minutes",
        "9.5",
        "--set",
        "loop.lr=1",
        "--set",
        "a=b",
    ]
    assert 0 == ask("tags", "small.toml", *words)[0]
    [call] = trainer.calls
    assert (Path("here"), True) == (call["folder"], call["resume"])
    assert ("loop.lr=1", "a=b", "loop.max_minutes=9.5") == call["overrides"]


@pytest.mark.parametrize(("stopped", "code"), [("time", 0), ("terminated", 143)])
def test_a_run_that_was_stopped_says_how_to_go_on(
    trainer: Trainer, ask, stopped: str, code: int
) -> None:
    trainer.stopped = stopped
    line = (
        "tercet train: saved at step 30 of 40; to go on: "
        "tercet train tags small.toml --out runs/small --resume --set 'a=b c'\n"
    )
    assert (code, "", line) == ask("tags", "small.toml", "--set", "a=b c", "--max_minutes", "1")


def test_ctrl_c_says_how_to_go_on_through_the_program(
    trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.stopped = "interrupted"
    with pytest.raises(KeyboardInterrupt, match="saved at step 30 of 40; to go on: tercet train"):
        run(["tags", "small.toml", "--resume"])


@pytest.mark.parametrize(("has_checkpoint", "more"), [(False, ""), (True, " --resume")])
def test_ctrl_c_while_it_hears_says_what_goes_on(
    trainer: Trainer, tmp_path: Path, has_checkpoint: bool, more: str
) -> None:
    trainer.error = KeyboardInterrupt()
    if has_checkpoint:  # a second Ctrl-C, which does not wait for the step
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        (tmp_path / "run" / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(KeyboardInterrupt) as caught:
        run(["tags", "small.toml", "--out", str(tmp_path / "run"), "--set", "a=1"])
    assert (
        "stopped; what was finished is kept; to go on: tercet train tags small.toml --out "
        f"{tmp_path / 'run'}{more} --set a=1" == str(caught.value)
    )


def test_sigterm_while_it_hears_unwinds(trainer: Trainer) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer.act = lambda: signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        run(["tags", "small.toml"])
    assert 143 == caught.value.code
    assert before == signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HeadError("x: no head"), 1),
        (OutputError("x: disk full"), 1),
        (OptionError("small.toml: unknown key"), 2),
        (ModelNotFoundError("no model is called 'bsae'"), 2),
    ],
)
def test_errors_are_one_line(trainer: Trainer, ask, error: Exception, code: int) -> None:
    trainer.error = error
    assert (code, "", f"tercet train: {error}\n") == ask("tags", "small.toml")


def test_all_faults_of_a_manifest_are_told_a_line_each(trainer: Trainer, ask) -> None:
    faults = [f"line {n}: no such file" for n in range(1, 9)]
    trainer.error = DataError.of_faults("m.csv: 8 faults", faults, "mend them")
    code, _, told = ask("tags", "small.toml")
    assert 1 == code
    assert faults == told.splitlines()[:8]
    assert 9 == len(told.splitlines())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tags", "none.toml"], "none.toml: no such recipe"),
        (["tags"], "Missing argument 'RECIPE'"),
        (["music", "small.toml"], "No such command 'music'"),
        (["tags", "small.toml", "--max_minutes", "x"], "Invalid value for '--max_minutes'"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(
    trainer: Trainer, ask, words: list[str], told: str
) -> None:
    code, out, error = ask(*words)
    assert (2, "", 1) == (code, out, len(error.splitlines()))
    assert told in error
    assert [] == trainer.calls


def test_what_is_not_installed_is_named_with_the_command(
    trainer: Trainer, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet.cli.train.find_spec", lambda name: None if name == "torch" else 1)
    line = "tercet train: training needs torch: pip install 'tercet[train]'\n"
    assert (1, "", line) == ask("tags", "small.toml")


PROGRESS = TrainProgress(
    step=12, total_steps=400, epoch=2, epochs=9, loss=0.123456, phase="training", left_s=3725.0
)


def test_the_line_says_epoch_step_loss_and_time_left() -> None:
    assert "epoch 2/9  step 12/400  loss 0.1235  1:02:05 left" == status_text(PROGRESS)
    validation = TrainProgress(
        step=12,
        total_steps=400,
        epoch=2,
        epochs=9,
        loss=float("nan"),
        phase="validation",
        left_s=None,
        done=3,
        total=7,
    )
    assert "epoch 2/9  validation 3/7" == status_text(validation)


def test_where_there_is_no_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    with TrainScreen(quiet=False, clock=lambda: now[0]) as screen:
        for second in range(65):
            now[0] = float(second)
            screen.on_progress(PROGRESS)
        screen.on_note("a note")
    told = capsys.readouterr()
    assert ("", [status_text(PROGRESS)] * 2 + ["a note"]) == (told.out, told.err.splitlines())


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with TrainScreen(quiet=True, clock=lambda: now[0]) as screen:
        now[0] = 1e6
        screen.on_progress(PROGRESS)
        screen.on_note("a note")
    assert ("", "") == tuple(capsys.readouterr())


def test_on_a_terminal_one_bar_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with TrainScreen(quiet=False) as screen:
        screen.on_progress(PROGRESS)
        assert screen._live is not None
        screen._live.refresh()
        screen.on_note("above the bar")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert status_text(PROGRESS) in drawn
    assert "above the bar" in drawn
    assert train_progress._LINE_EVERY_S > 1
