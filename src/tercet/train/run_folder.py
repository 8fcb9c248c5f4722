"""A run's folder: what is in it, who uses it, and how files appear in it whole.

recipe.toml         the recipe's text
settings.json       every value of it, defaults included; a resume compares
environment.json    commit, versions, machine, command line
metrics.jsonl       a line for each log interval and each validation
checkpoints/        last.ckpt (all that a resume needs), best.ckpt, result.ckpt (weights)
epochs/             epoch-0016.ckpt: weights to be averaged
tensorboard/        curves
"""

import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from tercet.errors import OptionError, OutputError, TrainingError
from tercet.train.environment import environment
from tercet.train.recipe import RUN_TIME

if sys.platform != "win32":
    import fcntl


class RunFolder:
    """The folder of one run: where things are, and writing them whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def hold(self) -> None:
        """Make the folder and those above it, and hold it against other runs.

        Raises:
            TrainingError: another run uses it.
            OutputError: it cannot be written.
        """
        try:
            for each in (self.checkpoints, self.epochs):
                each.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a")
        except OSError as error:
            raise OutputError(f"{self.path}: {reason_of(error)}; choose another folder") from None
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise TrainingError(
                f"{self.path}: another run is using this folder; wait for it, or choose another"
            ) from None
        except OSError:
            pass  # a network folder without locks

    def release(self) -> None:
        """Let others use the folder."""
        if self._lock is not None:
            self._lock.close()

    @property
    def checkpoints(self) -> Path:
        """Where last, best and result are."""
        return self.path / "checkpoints"

    @property
    def epochs(self) -> Path:
        """Where the weights of single epochs are."""
        return self.path / "epochs"

    @property
    def last(self) -> Path:
        """What a resume starts from."""
        return self.checkpoints / "last.ckpt"

    @property
    def best(self) -> Path:
        """The weights with the best score."""
        return self.checkpoints / "best.ckpt"

    @property
    def result(self) -> Path:
        """The weights that the run gives."""
        return self.checkpoints / "result.ckpt"

    @property
    def metrics(self) -> Path:
        """The figures."""
        return self.path / "metrics.jsonl"

    def epoch(self, number: int) -> Path:
        """The weights after epoch `number`, from 1."""
        return self.epochs / f"epoch-{number:04d}.ckpt"

    def check(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Find out whether a run may begin or go on here. Nothing is written.

        For tasks that have hours of work before the first step, such as encoding.

        Raises:
            OptionError: there is a run already, or none to resume, or it had another recipe.
        """
        if self.last.exists() and not resume:
            raise OptionError(
                f"{self.path}: holds a run; go on with --resume, or choose another folder"
            )
        if resume and not self.last.exists():
            raise OptionError(f"{self.path}: holds no run to resume; start it without --resume")
        if resume:
            _compare(self.path / "settings.json", settings)

    def begin(self, settings: Mapping[str, Any], recipe_text: str, *, resume: bool) -> None:
        """Write what the run is, or compare it with what is there.

        Raises:
            OptionError: there is a run already, or none to resume, or it had another recipe.
            OutputError: nothing can be written.
        """
        self.check(settings, resume=resume)
        if not resume:
            self.write_text("recipe.toml", recipe_text)
            self.write_text("settings.json", json.dumps(settings, indent=1, sort_keys=True))
        name = "environment.json"
        before = json.loads((self.path / name).read_text()) if resume else []
        self.write_text(name, json.dumps([*before, environment()], indent=1))

    def write_text(self, name: str, text: str) -> None:
        """Write a small file, whole.

        Raises:
            OutputError: the disk is full, or failed.
        """
        self._write(self.path / name, lambda file: file.write(text.encode()))

    def save(self, path: Path, state: Mapping[str, Any]) -> None:
        """Write a checkpoint; what had this name stays until the new one is complete.

        Raises:
            OutputError: the disk is full, or failed.
        """
        self._write(path, lambda file: torch.save(dict(state), file))

    def _write(self, path: Path, write: Callable[[IO[bytes]], object]) -> None:
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb", buffering=0) as raw:
                file = _Remembering(raw)
                try:
                    write(file)  # type: ignore[arg-type]
                except Exception:
                    if file.fault is not None:  # torch hides the system's reason behind its own
                        raise file.fault from None
                    raise
                os.fsync(raw.fileno())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise self.fault(path, error) from None

    def fault(self, path: Path, error: OSError) -> OutputError:
        """The one line for a file of the run that cannot be written: with what there is, if anything."""
        kept = (
            "the last checkpoint is kept; make room, and go on with --resume"
            if self.last.exists()
            else "nothing was trained yet; make room, and give the same command again"
        )
        return OutputError(f"{path}: not written: {reason_of(error)}; {kept}")


class _Remembering(io.RawIOBase):
    """Passes bytes on, and remembers why the system refused them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.fault: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self.fault = error
            raise
        return done


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU.

    Raises:
        TrainingError: it is damaged, or not there.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except FileNotFoundError:
        raise TrainingError(f"{path}: is missing; the run cannot go on without it") from None
    except Exception as error:  # zip, pickle and torch each have their own
        reason = " ".join(str(error).split())[:120]
        raise TrainingError(f"{path}: damaged ({reason}); start a new run") from None


def reason_of(error: OSError) -> str:
    """What the system said, in a few words."""
    return (error.strerror or str(error)).lower()


def _compare(path: Path, settings: Mapping[str, Any]) -> None:
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); start a new run") from None
    now = json.loads(json.dumps(settings))
    free = {f"loop.{name}" for name in RUN_TIME}
    differing = [
        name for name in sorted({*before, *now} - free) if before.get(name, "") != now.get(name, "")
    ]
    if differing:
        told = ", ".join(
            f"{name} (was {json.dumps(before.get(name))}, now {json.dumps(now.get(name))})"
            for name in differing
        )
        raise OptionError(
            f"{path.parent}: was started with another recipe: {told}; give the same one, or start a "
            "new run"
        )
