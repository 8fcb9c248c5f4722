"""Lightning's Fabric, opened quietly: one device or many, precision, and numbers that repeat.

Fabric and not `Trainer`: resuming in the middle of an epoch to the bit needs a loop whose whole state is
known; Trainer infers its own from counters, differently from release to release.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.utils import deterministic

from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe
from tercet.train.sharding import FSDP, sharding_strategy

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.strategy import Strategy

_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


def open_fabric(recipe: LoopRecipe) -> "Fabric":
    """Devices and precision as the recipe says; with several devices, the other processes are started.

    Raises:
        OptionError: there are no such devices, or another strategy than one device's, DDP's or FSDP's.
    """
    plain = recipe.devices * recipe.nodes == 1
    if recipe.strategy not in ("auto", FSDP) and not recipe.strategy.startswith("ddp"):
        raise OptionError(
            f"strategy {recipe.strategy!r}: the loop knows auto, ddp (with Lightning's variants) and, for "
            "text, fsdp; give one of them"
        )
    from lightning.fabric import Fabric

    try:
        fabric = Fabric(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            num_nodes=recipe.nodes,
            strategy="auto" if plain else _strategy(recipe),
            precision=_PRECISION[recipe.precision],  # type: ignore[arg-type]
        )
        fabric.launch()
    except (ValueError, RuntimeError, TypeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(
            f"accelerator {recipe.accelerator!r}, devices {recipe.devices}: {reason}"
        ) from None
    return fabric


def _strategy(recipe: LoopRecipe) -> "str | Strategy":
    return sharding_strategy(recipe) if recipe.strategy == FSDP else recipe.strategy


def end_others(fabric: "Fabric") -> None:
    """End the processes that this one started: they would wait for it for ever."""
    for process in getattr(fabric.strategy.launcher, "procs", ()):
        process.kill()


def is_first_process() -> bool:
    """Whether this process writes files: the only one, or the one that starts the others."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    return getattr(rank_zero_only, "rank", None) in (0, None)


@contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """Inside the block torch chooses algorithms that give the same numbers each time, where it has any."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    is_on = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, fills = torch.backends.cudnn.benchmark, _fills()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    _set_fills(False)  # a check of torch's own, and slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(is_on, warn_only=warns)
        torch.backends.cudnn.benchmark = benchmark
        _set_fills(fills)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside the block Lightning and torch's reader of data say errors only; others may warn."""
    import lightning.fabric  # which sets its own levels

    names = (lightning.__name__, "lightning.fabric", "lightning.pytorch", "torch.distributed")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for module in (r"lightning\..*", r"torch\.utils\.data\..*", r"torch\.distributed\..*"):
            warnings.filterwarnings("ignore", module=module)
        warnings.filterwarnings("ignore", message=".*deterministic implementation.*")
        warnings.filterwarnings("ignore", message=".*deterministic algorithm.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _fills() -> bool:
    return bool(getattr(deterministic, "fill_uninitialized_memory", True))


def _set_fills(fills: bool) -> None:
    setattr(deterministic, "fill_uninitialized_memory", fills)  # noqa: B010 - a module's property
