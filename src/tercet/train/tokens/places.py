"""Which positions of a 30 s window are computed in training: all of the sound, and a sample of the padding.

Behind the sound, states hardly change from one position to the next. Every k-th of them is computed and
counted k times in attention, which gives nearly what all of them would: a clip of 9 s then costs 40 % of
a full window.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Places:
    """Positions, and what attention adds to the scores of each."""

    index: Tensor  # int64 [T], ascending
    bias: (
        Tensor | None
    )  # float32 [1, T]: the logarithm of how many positions each stands for; None: one each

    @property
    def count(self) -> int:
        """How many positions are computed."""
        return len(self.index)

    def to(self, device: torch.device) -> "Places":
        """The same on a device."""
        bias = None if self.bias is None else self.bias.to(device)
        return Places(self.index.to(device), bias)


def places_of(n_states: int, *, positions: int, thin: int, near: int = 40) -> Places:
    """The positions of a window whose first `n_states` states are sound.

    Args:
        n_states: States that are sound.
        positions: Of the whole window.
        thin: Behind the sound and `near` further positions, one of how many is computed; 1: all.
        near: Positions right behind the sound that are all computed.
    """
    dense = min(positions, n_states + near)
    rest = positions - dense
    if thin <= 1 or rest <= thin:
        return Places(torch.arange(positions), None)
    sparse = torch.arange(dense + thin // 2, positions, thin)
    index = torch.cat([torch.arange(dense), sparse])
    bias = torch.zeros(len(index))
    bias[dense:] = torch.log(torch.tensor(rest / len(sparse)))
    return Places(index, bias[None])
