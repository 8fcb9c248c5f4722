"""A task that trains in a second, as a module for tests and as a program that can be killed.

Run as `toy_run.py FOLDER [--resume] [key=value ..]`; it prints a line for every step.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tercet.train.loop import RunResult, fit
from tercet.train.random_states import seed_all
from tercet.train.recipe import LoopRecipe, Recipe, load_recipe
from tercet.train.task import Summed, TrainData, TrainTask

BASE = {"lr": 0.02, "epochs": 3, "batch_size": 8, "log_steps": 3, "tensorboard": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyRecipe:
    width: int = 6
    dropout: float = 0.2
    summed: bool = False  # the loss is a sum over items that count, and says how many did
    before: bool = False
    loop: LoopRecipe = field(default_factory=LoopRecipe)


class ToyTask(TrainTask):
    """Learns the sum of four numbers; its dropout draws from torch, its noise from NumPy."""

    frozen_parts = ("teacher",)
    has_sharded_parts = True

    def __init__(self, recipe: ToyRecipe) -> None:
        super().__init__()
        self.teacher = nn.Linear(4, 1)
        self.teacher.requires_grad_(False)
        self.net = nn.Sequential(
            nn.Linear(4, recipe.width),
            nn.Dropout(recipe.dropout),
            nn.Tanh(),
            nn.Linear(recipe.width, 1),
        )
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.is_summed = recipe.summed
        self.measures_start = recipe.before

    def sharded_blocks(self) -> list[nn.Module]:
        return [self.net[0]]

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor | Summed:
        x, y = batch
        self.seen += len(x)
        if self.training and self.net[1].p:
            x = x + 0.01 * float(np.random.normal())  # a library's habit
        squares = (self.net(x)[:, 0] - y) ** 2
        self.log("largest", squares.max())
        if self.is_summed:
            counted = (x[:, 0] > 0).to(squares)
            return Summed((squares * counted).sum(), counted.sum())
        return squares.mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        torch.rand(3)  # must not be noticed by training
        squares = (self.net(x)[:, 0] - y) ** 2
        self.log("loss", squares.mean(), weight=len(x))
        for name, part in (("above", squares[y > 0]), ("below", squares[y <= 0])):
            if len(part):
                self.log(f"loss/sum/{name}", part.mean(), weight=len(part))


class Sums:
    """Items: four numbers and their sum; the numbers are noisy in a way that the draw decides."""

    def __init__(self, size: int, *, bad: int | None = None) -> None:
        self.size = size
        self.bad = bad

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, draw) -> tuple[np.ndarray, np.float32]:
        time.sleep(float(os.environ.get("TOY_SLOW_S", "0")))
        x = np.random.default_rng(draw.index).normal(size=4)
        x += 0.1 * np.random.default_rng(draw.seed).normal(size=4)
        if draw.index == self.bad:
            x[0] = np.nan
        return x.astype(np.float32), np.float32(x.sum())


def collate(items: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(np.stack([x for x, _ in items])), torch.tensor([y for _, y in items])


def toy_data(**changes: Any) -> TrainData:
    told = {"train": Sums(30), "valid": Sums(11), "collate": collate, "name_of": "clip {}".format}
    return TrainData(**(told | changes))


def toy_recipe(*overrides: str, **loop: Any) -> Recipe[ToyRecipe]:
    lines = [f"{key} = {json.dumps(value)}" for key, value in (BASE | loop).items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "toy.toml"
        path.write_text("[loop]\n" + "\n".join(lines) + "\n")
        return load_recipe(path, ToyRecipe, overrides)


def toy_fit(
    folder: Path,
    *overrides: str,
    resume: bool = False,
    watcher: Any = None,
    data: TrainData | None = None,
    task: ToyTask | None = None,
    **loop: Any,
) -> tuple[RunResult, ToyTask]:
    recipe = toy_recipe(*overrides, **loop)
    if task is None:
        seed_all(recipe.values.loop.seed, 0)
        task = ToyTask(recipe.values)
    result = fit(task, data or toy_data(), recipe, folder, resume=resume, watcher=watcher)
    return result, task


class Printer:
    """Prints steps; may press Ctrl-C at one."""

    def __init__(self, stop_at: int = -1) -> None:
        self.stop_at = stop_at

    def on_progress(self, progress) -> None:
        if progress.phase == "training" and progress.step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        sys.stdout.write(f"{progress.phase} {progress.step}\n")
        sys.stdout.flush()

    def on_note(self, line: str) -> None:
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    multiprocessing.set_start_method(os.environ.get("TOY_START", "fork"))
    words = sys.argv[2:]
    overrides = [word for word in words if "=" in word]
    watcher = Printer(int(os.environ.get("TOY_STOP_AT", "-1")))
    ended, _ = toy_fit(Path(sys.argv[1]), *overrides, resume="--resume" in words, watcher=watcher)
    sys.stdout.write(f"result {ended.step} {ended.stopped}\n")
