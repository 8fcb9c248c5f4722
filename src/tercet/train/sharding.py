"""Networks in shards (FSDP): each device keeps its share of every weight, gradient and moment.

A block's weights are gathered while it runs, all others (embeddings, norms) for a whole step. Frozen parts
(a teacher, an encoder that does not learn) stay whole on every device: they have neither gradients nor
moments, which are three quarters of what sharding saves, and would have to be sent anew in every step.

Files know nothing of shards: what is saved is gathered first, what is loaded is cut.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe
from tercet.train.shares import is_share, whole
from tercet.train.task import TrainTask

if TYPE_CHECKING:
    from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
    from torch.distributed.device_mesh import DeviceMesh

FSDP = "fsdp"
_OLDEST = (2, 7)  # torch's first `fully_shard` that leaves parameters out
_STEPS = ("training_step", "validation_step")


def is_wanted(recipe: LoopRecipe) -> bool:
    """Whether the recipe shards; a network on one device is whole, whatever its strategy."""
    return recipe.strategy == FSDP and recipe.devices * recipe.nodes > 1


def check_sharding(recipe: LoopRecipe, *, has_parts: bool) -> None:
    """Find out before training whether `loop.strategy = "fsdp"` can be done.

    Args:
        recipe: The run's.
        has_parts: Whether the task has anything that is worth sharding.

    Raises:
        OptionError: it has not, torch is too old, or the blocks are to be compiled as well.
    """
    if not is_wanted(recipe):
        return
    if not has_parts:
        raise OptionError(
            "loop.strategy 'fsdp': only the networks of train text are sharded; others are small; give auto"
        )
    if recipe.compile:
        raise OptionError(
            "loop.compile: torch cannot compile blocks that are gathered while they run (loop.strategy "
            "'fsdp'); give false, or another strategy"
        )
    found = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if found < _OLDEST:
        raise OptionError(
            f"loop.strategy 'fsdp': needs torch {_OLDEST[0]}.{_OLDEST[1]} or newer, and this is "
            f"{torch.__version__}; install a newer one, or give ddp"
        )


def sharding_strategy(recipe: LoopRecipe) -> "ModelParallelStrategy":
    """Fabric's strategy: all devices hold a share, none splits a matrix product."""
    from lightning.fabric.strategies.model_parallel import ModelParallelStrategy

    return ModelParallelStrategy(
        _shard, data_parallel_size=recipe.devices * recipe.nodes, tensor_parallel_size=1
    )


def is_sharded(module: nn.Module) -> bool:
    """Whether a network, or a part of it, lies in shards."""
    return any(is_share(each) for each in module.parameters())


@contextmanager
def gathered(task: TrainTask) -> Iterator[None]:
    """Inside the block the weights are whole on every device, and nothing is sent.

    For validation: devices hear different numbers of batches and write texts of different lengths, so that
    they could not gather a block together. Gradients and moments stay in shards.
    """
    if not is_sharded(task):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    parts = {each: name for name, each in task.named_modules() if isinstance(each, FSDPModule)}
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part, name in parts.items():
            # The task's own ("") are needed again as soon as gradients are computed.
            part.set_reshard_after_forward(bool(name), recurse=False)
            part.reshard()


class Moulds:
    """A task's parts without their weights: torch can shard a module, but not make it whole again."""

    def __init__(self, task: TrainTask) -> None:
        """Before the task is sharded."""
        self._task = task
        self._moulds = {
            name: _mould(child)
            for name, child in task.named_children()
            if name not in task.frozen_parts
        }

    def fill(self) -> None:
        """Make the task whole, on the CPU of every device. All have to call this together."""
        task = self._task
        for name, mould in self._moulds.items():
            state = whole(getattr(task, name).state_dict())
            mould.load_state_dict(state, assign=True)
            setattr(task, name, mould)
        for step in _STEPS:
            vars(task).pop(step, None)  # what FSDP has put before the class's own


def _mould(module: nn.Module) -> nn.Module:
    empty = {
        id(each): nn.Parameter(each.detach().to("meta"), requires_grad=each.requires_grad)
        for each in module.parameters()
    }
    return copy.deepcopy(module, empty)


def _shard(task: TrainTask, mesh: "DeviceMesh") -> TrainTask:
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    devices = mesh["data_parallel"]
    for block in task.sharded_blocks():
        fully_shard(block, mesh=devices)
    parts = [getattr(task, name) for name in task.frozen_parts]
    frozen = {each for part in parts if part is not None for each in part.parameters()}
    fully_shard(task, mesh=devices, ignored_params=frozen)
    for step in _STEPS:
        register_fsdp_forward_method(task, step)
    return task
