"""All that a run has to remember: what a checkpoint holds, and how it comes back.

The rest (learning rate, which item is next, items' seeds) is a function of these and the recipe.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from tercet.errors import TrainingError
from tercet.train.averaging import MovingAverage
from tercet.train.random_states import random_states, restore_random_states
from tercet.train.sampling import Sampler
from tercet.train.shares import shared_state, whole
from tercet.train.task import TrainTask

if TYPE_CHECKING:
    from lightning.fabric import Fabric

FORMAT = 1


@dataclass(slots=True)
class Standing:
    """Where a run stands: plain numbers."""

    step: int = 0  # optimizer steps made
    epochs_closed: int = 0  # epochs that were validated and kept
    best: float | None = None  # score
    since_best: int = 0  # validations behind it
    best_metrics: dict[str, float] = field(default_factory=dict)
    last_metrics: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)  # validation at step 0, where it was one
    window: dict[str, list[float]] = field(
        default_factory=dict
    )  # sums and weights of the next line
    elapsed_s: float = 0.0  # over all pieces of the run
    metrics_bytes: int = 0  # of metrics.jsonl


@dataclass(frozen=True, slots=True)
class Parts:
    """What moves while a run trains."""

    task: TrainTask
    optimizer: torch.optim.Optimizer
    sampler: Sampler
    average: MovingAverage | None


def captured(fabric: "Fabric", parts: Parts, standing: Standing) -> dict[str, Any]:
    """A checkpoint's content. All devices have to call this together."""
    states: list[Any] = [random_states()]
    if fabric.world_size > 1:
        states = [None] * fabric.world_size
        torch.distributed.all_gather_object(states, random_states())
    average = None if parts.average is None else dict(parts.average.state_dict())
    keep = fabric.is_global_zero
    return {
        "format": FORMAT,
        "task": weights(fabric, parts.task),
        "optimizer": whole(parts.optimizer.state_dict(), keep=keep),
        "sampler": parts.sampler.state_dict(),
        "average": whole(average, keep=keep),
        "random": states,
        "figures": parts.task.figures.sums(),
        "standing": {name: getattr(standing, name) for name in Standing.__slots__},
    }


def weights(fabric: "Fabric", task: TrainTask) -> dict[str, Any]:
    """What a task saves, on the device that writes it. All devices have to call this together."""
    state: dict[str, Any] = whole(task.saved_state(), keep=fabric.is_global_zero)
    return state


def restored(fabric: "Fabric", parts: Parts, state: Mapping[str, Any]) -> Standing:
    """Put a checkpoint's content back where it was.

    On more devices than before, those that are new keep the random numbers they started with.

    Raises:
        TrainingError: it is of another format, network or data set.
    """
    if state.get("format") != FORMAT:
        raise TrainingError(
            f"the checkpoint has format {state.get('format')!r}, not {FORMAT}; start a new run"
        )
    parts.sampler.load_state_dict(state["sampler"])
    parts.task.load_saved_state(state["task"])
    parts.optimizer.load_state_dict(shared_state(state["optimizer"], parts.optimizer))
    parts.task.figures.load(state["figures"])
    if parts.average is not None:
        parts.average.load_state_dict(state["average"])
    if fabric.global_rank < len(state["random"]):
        restore_random_states(state["random"][fabric.global_rank])
    return Standing(**state["standing"])
