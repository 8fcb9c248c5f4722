"""What is trained: the interface between a task (tags, tokens, a decoder) and the loop.

A task holds the network and says what its loss, its parameters and its figures are. When steps are made,
saved and resumed is the loop's business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from tercet.errors import TrainingError
from tercet.train.figures import Figures
from tercet.train.sampling import Draw, Order
from tercet.train.shares import share_of


class Summed(NamedTuple):
    """A loss as a sum and what to divide it by, so that the mean is right over devices and pieces."""

    total: Tensor  # scalar, with gradient
    divisor: Tensor | float  # frames or tokens that count; of a whole step at least one


class ParameterGroup(TypedDict, total=False):
    """Parameters that learn alike."""

    params: list[nn.Parameter]  # required
    lr_scale: float  # times the recipe's lr; 1 where missing
    weight_decay: float  # the recipe's where missing


class Items(Protocol):
    """A data set. All random work is done with `numpy.random.default_rng(draw.seed)`."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainData:
    """What a task is trained on."""

    train: Items
    valid: Items | None = None  # read in order, with the same seeds each time
    collate: Callable[[list[Any]], Any]  # items -> batch: tensors in tuples, lists, dictionaries
    weights: np.ndarray | None = None  # [len(train)]: drawn with replacement; None: shuffled
    order: Order | None = None  # in place of both, `sampling.Mixed` for instance
    name_of: Callable[[int], str] | None = None  # an item's name, for errors


class TrainTask(nn.Module, ABC):
    """The base of every task."""

    # Names of submodules that are never trained nor saved: an encoder, a teacher.
    frozen_parts: tuple[str, ...] = ()
    # Whether the validation set is heard once before the first step, too (`loop.RunResult.before`).
    measures_start = False
    # Whether it has parts that `loop.compile` compiles.
    has_compiled_parts = False
    # Whether it is worth sharding (`sharding`). Such a task has no parameters but its submodules'.
    has_sharded_parts = False

    def __init__(self) -> None:
        super().__init__()
        self.step = 0  # optimizer steps made; the loop counts
        self.epoch = 0  # epochs closed
        self.total_steps = 0
        self.figures = Figures()  # since the last log line, or of the validation under way

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor | Summed:
        """The loss of one batch: a mean over equal items, or a sum with its count."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Hear one batch of the validation set, without gradients: `log`, or update metrics."""

    def begin_validation(self) -> None:
        """Called before the first batch: reset metrics."""

    def end_validation(self) -> Mapping[str, float]:
        """Called after the last batch: figures that are no plain means, such as mAP."""
        return {}

    def score(self, metrics: Mapping[str, float]) -> float:
        """How good validation's figures are; the highest makes `best.ckpt`."""
        return -metrics["loss"] if "loss" in metrics else 0.0

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Parameters to be trained; all that require gradients, unless a task says otherwise."""
        return [{"params": [each for each in self.parameters() if each.requires_grad]}]

    def sharded_blocks(self) -> Sequence[nn.Module]:
        """Modules that learn, and whose weights are gathered only while they run; each is called as such."""
        return ()

    def after_step(self) -> None:
        """Called after each optimizer step: revive dead codes, normalise."""

    def log(self, name: str, value: Tensor | float, weight: float = 1.0) -> None:
        """Add to the mean of a figure: over the steps between two log lines, or over the validation.

        Args:
            name: "loss" and "gradient_norm" are the loop's own in training. With a slash it is of a part of
                the items, as in "wer/language/vi": such figures are kept, and not told with the others.
            value: A scalar; gradients are cut.
            weight: Its weight in the mean, a number of items for instance.
        """
        self.figures.add(name, value, weight)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def saved_state(self) -> dict[str, Any]:
        """The state dict without the frozen parts."""
        return {
            name: value for name, value in self.state_dict().items() if not self._is_frozen(name)
        }

    def load_saved_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `saved_state` gave.

        Raises:
            TrainingError: it is of another network.
        """
        own = self.state_dict()
        shares = {name: share_of(value, own.get(name)) for name, value in state.items()}
        try:
            missing, unexpected = self.load_state_dict(shares, strict=False)
        except RuntimeError as error:
            first = str(error).splitlines()[1:2] or [str(error)]
            raise TrainingError(
                f"the checkpoint does not fit the network: {first[0].strip()}; build the same network"
            ) from None
        wrong = [name for name in missing if not self._is_frozen(name)] + list(unexpected)
        if wrong:
            raise TrainingError(
                f"the checkpoint is of another network: {wrong[0]!r} does not match"
            )

    def _is_frozen(self, name: str) -> bool:
        return any(name == part or name.startswith(f"{part}.") for part in self.frozen_parts)
