"""One optimizer step: pieces of a batch through the network, gradients of the true mean, clipped, checked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from tercet.errors import TrainingError
from tercet.train.figures import wide
from tercet.train.recipe import LoopRecipe
from tercet.train.schedule import learning_rate
from tercet.train.sharding import Moulds, is_wanted
from tercet.train.shares import whole
from tercet.train.task import Summed, TrainTask

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class StepFigures(NamedTuple):
    """What a step was like. `loss` is the mean over devices and pieces."""

    loss: float
    gradient_norm: float  # before clipping

    @property
    def is_finite(self) -> bool:
        """Whether the weights may follow these gradients."""
        return all(abs(value) < float("inf") for value in self)


class Stepper:
    """Holds the network as Fabric wraps it, and its optimizer."""

    def __init__(self, fabric: "Fabric", task: TrainTask, recipe: LoopRecipe) -> None:
        self._fabric = fabric
        self._task = task
        self._recipe = recipe
        _groups(task, recipe)  # told before the devices are set up: DDP has a line of its own
        self._moulds = Moulds(task) if is_wanted(recipe) else None
        task.to(fabric.device)
        self._model = fabric.setup_module(task)
        self._scales, optimizer = make_optimizer(
            task, recipe
        )  # behind it: shards are new parameters
        self.optimizer = cast(torch.optim.Optimizer, fabric.setup_optimizers(optimizer))
        self._model.mark_forward_method("training_step")
        self._model.mark_forward_method("validation_step")
        self._trained = [p for group in optimizer.param_groups for p in group["params"]]

    def compute(self, batches: Iterator[Any], step: int) -> StepFigures:
        """Gradients of one step, in place; the weights do not move yet.

        Args:
            batches: `accumulate` of them are taken.
            step: From 0.
        """
        pieces, device = self._recipe.accumulate, self._fabric.device
        total = torch.zeros((), dtype=wide(device), device=device)
        count = torch.zeros_like(total)
        has_counts = False
        self.optimizer.zero_grad(set_to_none=True)
        for piece in range(pieces):
            batch = self._fabric.to_device(next(batches))
            # Gradients that are not summed yet are whole ones: shards are summed after every piece.
            waits = piece + 1 < pieces and self._moulds is None
            with self._fabric.no_backward_sync(self._model, enabled=waits):
                # Asked for here: Fabric gives it to marked methods of wrapped (DDP's) networks alone.
                with self._fabric.autocast():
                    loss = self._model.training_step(batch, step * pieces + piece)
                has_counts |= isinstance(loss, Summed)
                summed = loss if isinstance(loss, Summed) else Summed(loss, 1.0)
                self._fabric.backward(summed.total)
            total += summed.total.detach()
            count += summed.divisor
        if self._fabric.world_size > 1:
            for value in (total, count):
                self._fabric.all_reduce(value, reduce_op="sum")  # in place
        # DDP, or FSDP, has averaged over devices what is to be summed; each backward pass added its piece.
        factor = self._fabric.world_size / count if has_counts else 1 / pieces
        norm = self._scale_and_clip(factor)
        figures = torch.stack([total / count, norm.to(total)]).tolist()
        return StepFigures(*figures)

    def apply(self, step: int, epoch_steps: int) -> float:
        """Let the weights follow the gradients; returns the learning rate of scale 1."""
        for group, scale in zip(self.optimizer.param_groups, self._scales, strict=True):
            group["lr"] = learning_rate(self._recipe, step, epoch_steps=epoch_steps, lr_scale=scale)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._task.after_step()
        return learning_rate(self._recipe, step, epoch_steps=epoch_steps)

    def make_whole(self) -> None:
        """Take a network that was sharded together again. All devices have to call this."""
        if self._moulds is not None:
            self._moulds.fill()

    def validate(self, batch: Any, batch_idx: int) -> None:
        """One batch of the validation."""
        with self._fabric.autocast():
            self._model.validation_step(self._fabric.to_device(batch), batch_idx)

    @torch.no_grad()
    def _scale_and_clip(self, factor: Tensor | float) -> Tensor:
        gradients = [p.grad for p in self._trained if p.grad is not None]
        if isinstance(factor, Tensor):
            torch._foreach_mul_(gradients, factor.float())
        elif factor != 1:
            torch._foreach_mul_(gradients, factor)
        largest = self._recipe.clip_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self._trained, largest)
        total: Tensor = whole(norm)  # of shards: each device has its part of the sum
        return total


def make_optimizer(
    task: TrainTask, recipe: LoopRecipe
) -> tuple[list[float], torch.optim.Optimizer]:
    """The optimizer, and each parameter group's scale of the learning rate.

    Raises:
        TrainingError: there is no parameter.
    """
    groups, scales = _groups(task, recipe)
    if recipe.optimizer == "sgd":
        return scales, torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return scales, kind(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps)


def _groups(task: TrainTask, recipe: LoopRecipe) -> tuple[list[dict[str, Any]], list[float]]:
    groups, scales = [], []
    for group in task.parameter_groups():
        decay = group.get("weight_decay", recipe.weight_decay)
        groups.append({"params": list(group["params"]), "weight_decay": decay, "lr": recipe.lr})
        scales.append(float(group.get("lr_scale", 1.0)))
    if not any(group["params"] for group in groups):
        raise TrainingError("the task has nothing to train: no parameter requires a gradient")
    return groups, scales
