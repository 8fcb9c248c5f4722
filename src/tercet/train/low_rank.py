"""Low-rank adapters (LoRA, arXiv:2106.09685): what stands beside a frozen matrix and learns in its place.

Where an adapter is kept, and in which layout, is `checkpoint/adapter_writing.py`.
"""

import math
from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdaptedLinear(nn.Linear):
    """W x + b + (alpha / rank) B A x; W and b stay, A and B learn. It begins as W x + b, for B is zero."""

    def __init__(
        self,
        linear: nn.Linear,
        *,
        rank: int,
        alpha: float,
        dropout: float,
        draws: torch.Generator | None = None,
    ) -> None:
        """Stand in for `linear`, whose own parameters are taken and not copied.

        Args:
            linear: What is adapted.
            rank: Of B A.
            alpha: The sum is scaled by alpha / rank.
            dropout: Share of A's inputs that is dropped in training mode.
            draws: Of A's first values.
        """
        nn.Module.__init__(self)  # nn.Linear's own would draw a matrix that nobody needs
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.weight.requires_grad_(False)
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.scale, self.dropout = alpha / rank, dropout
        self.lora_A = nn.Parameter(
            linear.weight.new_empty(rank, linear.in_features)
        )  # PEFT's names
        self.lora_B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5), generator=draws)  # as PEFT has it

    def forward(self, x: Tensor) -> Tensor:
        """[.., in] -> [.., out]."""
        low = F.linear(F.dropout(x, self.dropout, self.training), self.lora_A)
        return F.linear(x, self.weight, self.bias) + self.scale * F.linear(low, self.lora_B)


def adapt(
    network: nn.Module,
    modules: Collection[str],
    *,
    rank: int,
    alpha: float,
    dropout: float,
    seed: int,
) -> int:
    """Put an adapter beside every linear layer with one of these names; all else is frozen.

    Args:
        network: Changed in place.
        modules: Last parts of layers' names ("q_proj").
        rank: See `AdaptedLinear`.
        alpha: Likewise.
        dropout: Likewise.
        seed: The same one gives the same first values.

    Returns:
        How many there are.
    """
    network.requires_grad_(False)
    draws = torch.Generator().manual_seed(seed)
    settings: dict[str, Any] = {"rank": rank, "alpha": alpha, "dropout": dropout, "draws": draws}
    found = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if name in modules and isinstance(child, nn.Linear):
                setattr(parent, name, AdaptedLinear(child, **settings))
                found += 1
    return found


def matrices(network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """A [rank, in] and B [out, rank] of every adapted layer, by its name in the network."""
    return {
        name: (each.lora_A.detach(), each.lora_B.detach())
        for name, each in network.named_modules()
        if isinstance(each, AdaptedLinear)
    }
