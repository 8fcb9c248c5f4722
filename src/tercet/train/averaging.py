"""Averages of weights: the plain mean of several epochs' (Whisper-AT's), and a moving one of all steps'.

And whether a run gives one of them, the best weights or the last.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe
from tercet.train.shares import share_of
from tercet.train.task import TrainTask

State = Mapping[str, Any]


def mean_of(states: Iterable[State]) -> dict[str, Any]:
    """The mean of each float array, summed in float64; of anything else (counters), the last one's.

    Raises:
        ValueError: there is none.
    """
    sums: dict[str, Tensor] = {}
    last: State = {}
    count = 0
    for count, state in enumerate(states, start=1):  # noqa: B007 - counted on purpose
        last = state
        for name, value in state.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                sums[name] = sums[name] + value.double() if name in sums else value.double()
    if not count:
        raise ValueError("no weights to average")
    return {
        name: (sums[name] / count).to(value.dtype) if name in sums else value
        for name, value in last.items()
    }


class MovingAverage:
    """An exponential moving average of the trained parameters; buffers are the network's own.

    The first steps weigh less: the decay after n steps is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, task: TrainTask, decay: float) -> None:
        self._decay = decay
        self._task = task
        self._average = {name: value.detach().clone() for name, value in self._trained()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after step number `step` (from 1) in."""
        decay = min(self._decay, (1 + step) / (10 + step))
        values = [value.detach() for _, value in self._trained()]
        torch._foreach_lerp_(list(self._average.values()), values, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the task have the averaged weights inside the block."""
        held = {name: value.detach().clone() for name, value in self._trained()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(held)

    def put(self) -> None:
        """Give the task the averaged weights."""
        self._put(self._average)

    def state_dict(self) -> dict[str, Tensor]:
        """What has to be saved."""
        return self._average

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put back what was saved."""
        for name, value in self._average.items():
            value.copy_(share_of(state[name], value))

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._trained():
            parameter.copy_(values[name])

    def _trained(self) -> list[tuple[str, Tensor]]:
        return [(n, p) for n, p in self._task.named_parameters() if p.requires_grad]


def chosen_weights(recipe: LoopRecipe, *, validates: bool) -> str:
    """Which weights a run gives: "last", "best" or "average".

    Raises:
        OptionError: the best, of epochs that are not validated.
    """
    if recipe.result == "best" and not validates:
        raise OptionError("result is 'best', but there is no validation data; give 'last'")
    if recipe.result != "auto":
        return recipe.result
    return "average" if recipe.average != "none" else "best" if validates else "last"
