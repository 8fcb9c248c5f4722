"""Validation: figures of the weights as they are, over all devices. Training does not notice it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from tercet.train.figures import Figures
from tercet.train.random_states import kept_random_states
from tercet.train.reading import batches
from tercet.train.recipe import LoopRecipe
from tercet.train.sampling import Sampler, Sequential
from tercet.train.sharding import gathered
from tercet.train.steps import Stepper
from tercet.train.task import TrainData, TrainTask

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def validate(
    fabric: "Fabric",
    task: TrainTask,
    data: TrainData,
    recipe: LoopRecipe,
    stepper: Stepper,
    tell: Callable[[int, int], None],
) -> dict[str, float]:
    """Hear the whole validation set with the weights as they are.

    Each device takes every n-th batch; means are over all items, and metrics of torchmetrics add up over
    devices by themselves. `tell` is called with the batches heard and their number; what it raises ends
    the validation.
    """
    assert data.valid is not None
    size, items = piece_size(fabric, recipe), len(data.valid)
    sampler = Sampler(Sequential(items), recipe.seed)
    mine = range(0, items, size)[fabric.global_rank :: fabric.world_size]
    lists = [sampler.draws(start, min(size, items - start)) for start in mine]
    with kept_random_states(), torch.no_grad(), _evaluating(task), gathered(task):
        task.begin_validation()
        pin = fabric.device.type == "cuda"
        source = batches(data.valid, data.collate, lists, workers=recipe.workers, pin_memory=pin)
        for number, batch in enumerate(source):
            stepper.validate(batch, number)
            tell(number + 1, len(lists))
        metrics = {name: float(value) for name, value in task.end_validation().items()}
        return {**_means(fabric, task.figures.sums()), **metrics}


def piece_size(fabric: "Fabric", recipe: LoopRecipe) -> int:
    """Items that go through the network at once on one device."""
    return recipe.batch_size // (recipe.accumulate * fabric.world_size)


def _means(fabric: "Fabric", logged: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    everyone: list[Any] = [dict(logged)]
    if fabric.world_size > 1:
        everyone = [None] * fabric.world_size
        torch.distributed.all_gather_object(everyone, dict(logged))
    totals: dict[str, list[float]] = {}
    for name, (total, weight) in (pair for one in everyone for pair in one.items()):
        entry = totals.setdefault(name, [0.0, 0.0])
        entry[0] += total
        entry[1] += weight
    return {name: total / weight for name, (total, weight) in totals.items() if weight}


@contextmanager
def _evaluating(task: TrainTask) -> Iterator[None]:
    """Evaluation mode, and figures of its own."""
    held, task.figures = task.figures, Figures()
    task.eval()
    try:
        yield
    finally:
        task.train()
        task.figures = held
