"""Recipes: what a run does, in one TOML file. Here is the part that every task shares, `[loop]`.

A task's recipe is a frozen dataclass of its own with a field `loop: LoopRecipe`. Reading: `recipe_reading`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from tercet.errors import OptionError
from tercet.train.recipe_reading import build, override, read_toml

R = TypeVar("R")

# Keys of [loop] that say how a run is carried out, not what comes of it: a resume may change them.
RUN_TIME = frozenset(
    {
        "accelerator",
        "accumulate",
        "compile",
        "devices",
        "log_steps",
        "max_minutes",
        "nodes",
        "save_minutes",
        "strategy",
        "tensorboard",
        "wandb",
        "workers",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRecipe:
    """How the loop trains. A step is one of the optimizer's."""

    seed: int = 0
    batch_size: int = 16  # items that one step sees, over all devices and pieces
    epochs: int = 10
    epoch_steps: int = 0  # steps of an epoch; 0: as `epoch_share` says
    epoch_share: float = 1.0  # of a pass through the data (Whisper-AT: 0.1)

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.0  # of sgd
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # gradients' largest norm; 0: not clipped

    schedule: Literal["constant", "linear", "cosine", "step"] = "constant"
    warmup_steps: int = 0
    warmup_from: float = 1e-3  # share of lr at the first step
    final_lr: float = 0.0  # where linear and cosine end, for every parameter group
    step_first: int = 1  # step: after so many epochs lr is multiplied ..
    step_every: int = 1  # .. and after every so many more
    step_factor: float = 0.75

    average: Literal["none", "epochs", "ema"] = "none"
    average_from: int = 1  # first epoch that counts, from 1
    ema_decay: float = 0.999
    result: Literal["auto", "last", "best", "average"] = "auto"  # auto: average, best or last
    valid_every: int = 1  # epochs between validations; the last epoch always has one
    patience: int = 0  # validations in a row without a better one that end the run; 0: none do

    precision: Literal["fp32", "bf16"] = "fp32"
    deterministic: bool = True

    # Run time (`RUN_TIME`).
    accumulate: int = 1  # pieces in which a step's items go through the network
    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    strategy: str = "auto"
    workers: int = 0  # processes that read data
    compile: bool = False  # torch.compile what the task runs most often; text alone
    max_minutes: float = 0.0  # stop and save after so long; 0: never
    save_minutes: float = 10.0  # between checkpoints
    log_steps: int = 50  # between lines of metrics.jsonl
    tensorboard: bool = True
    wandb: str = ""  # a project's name; "": not used

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise OptionError(f"{name} is {getattr(self, name)!r}; give at least {least}")
        for name, value in (("lr", self.lr), ("epoch_share", self.epoch_share)):
            if not 0 < value < float("inf"):
                raise OptionError(f"{name} is {value!r}; give a number above 0")
        if not 0 <= self.ema_decay < 1:
            raise OptionError(f"ema_decay is {self.ema_decay!r}; give 0 to below 1")
        if self.average == "epochs" and self.average_from > self.epochs:
            raise OptionError(
                f"average_from is {self.average_from}, but there are {self.epochs} epochs"
            )
        if self.patience and self.average == "epochs":
            raise OptionError(
                "patience may end a run before the epochs whose mean is asked for; give another average"
            )
        if self.result == "average" and self.average == "none":
            raise OptionError("result is 'average', but average is 'none'; give 'epochs' or 'ema'")
        pieces = self.accumulate * self.devices * self.nodes
        if self.batch_size % pieces:
            raise OptionError(
                f"batch_size {self.batch_size} cannot be split into {pieces} equal pieces "
                "(accumulate x devices x nodes); give a multiple"
            )


_LEAST: Mapping[str, float] = {
    "seed": 0,
    "batch_size": 1,
    "epochs": 1,
    "epoch_steps": 0,
    "clip_norm": 0,
    "warmup_steps": 0,
    "warmup_from": 0,
    "final_lr": 0,
    "weight_decay": 0,
    "step_first": 1,
    "step_every": 1,
    "step_factor": 0,
    "average_from": 1,
    "valid_every": 1,
    "patience": 0,
    "accumulate": 1,
    "devices": 1,
    "nodes": 1,
    "workers": 0,
    "max_minutes": 0,
    "save_minutes": 0,
    "log_steps": 1,
}


@dataclass(frozen=True, slots=True)
class Recipe(Generic[R]):
    """A recipe that was read: its values, and the text for the run's folder."""

    path: Path
    text: str
    values: R

    def settings(self) -> dict[str, Any]:
        """Every value by its dotted key, defaults included, in a form for JSON."""
        return dict(_flat(dataclasses.asdict(self.values), ""))  # type: ignore[call-overload]


def load_recipe(path: str | Path, kind: type[R], overrides: Sequence[str] = ()) -> Recipe[R]:
    """Read a recipe.

    Args:
        path: A TOML file.
        kind: The dataclass that says which keys there are.
        overrides: `section.key=value`, which count more than the file.

    Raises:
        OptionError: an unknown key (with a suggestion), a value that is not allowed, no such file.
    """
    path = Path(path)
    text, table = read_toml(path)
    for assignment in overrides:
        override(table, assignment)
    changed = "".join(f"# changed on the command line: {each}\n" for each in overrides)
    return Recipe(path, changed + text, build(kind, table, str(path)))


def _flat(table: Any, prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{name}.")
        else:
            rows.append((name, _plain(value)))
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


def at_least(name: str, value: float, least: float) -> None:
    """Check a recipe's number.

    Raises:
        OptionError: it is less.
    """
    if value < least:
        raise OptionError(f"{name} is {value}; give at least {least}")
