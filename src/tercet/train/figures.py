"""Means of figures while they come in: a loss over the steps of a log line, an accuracy over a validation.

Sums stay on the device that made them until they are asked for: a GPU is not made to wait.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Figures:
    """Sums and weights by name."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Any]] = {}

    def add(self, name: str, value: Tensor | float, weight: float = 1.0) -> None:
        """Add a scalar to a figure's mean."""
        if isinstance(value, Tensor):
            value = value.detach().to(wide(value.device))
        entry = self._entries.setdefault(name, [0.0, 0.0])
        entry[0] = entry[0] + value * weight
        entry[1] += weight

    def sums(self) -> dict[str, tuple[float, float]]:
        """Sum and weight of each."""
        return {name: (float(total), float(w)) for name, (total, w) in self._entries.items()}

    def means(self) -> dict[str, float]:
        """The mean of each that has a weight."""
        return {name: total / w for name, (total, w) in self.sums().items() if w}

    def load(self, sums: Mapping[str, tuple[float, float]]) -> None:
        """Take up what `sums` gave."""
        self._entries = {name: [total, weight] for name, (total, weight) in sums.items()}

    def clear(self) -> None:
        """Start anew."""
        self._entries.clear()


def of_all(figures: Mapping[str, float]) -> dict[str, float]:
    """Those of all items: names of others have a slash, "wer/language/vi"."""
    return {name: value for name, value in figures.items() if "/" not in name}


def wide(device: torch.device) -> torch.dtype:
    """The float type for sums: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
