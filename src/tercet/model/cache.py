"""Per-row key and value cache.

Rows grow, shrink and move independently. No arithmetic on what is cached.
"""

import numpy as np
import torch
from torch import Tensor

_FIRST_ROOM = 64  # tokens; doubled when full


class RaggedCache:
    """Keys and values of one decoder's self-attention, every layer, rows of different lengths.

    Entries behind a row's length are leftovers; whoever reads must mask them.
    """

    def __init__(self, layers: int, empty: Tensor) -> None:
        """Start empty.

        Args:
            layers: How many pairs to keep.
            empty: [rows, heads, 0, head width], for shape, type and device.
        """
        self.keys = [empty] * layers
        self.values = [empty] * layers
        # On the host: knowing how long rows are must not wait for a GPU.
        self.lengths = np.zeros(empty.shape[0], np.int64)

    @property
    def room(self) -> int:
        """Tokens per row that fit without growing."""
        return int(self.keys[0].shape[2])

    def make_room(self, tokens: int) -> None:
        """Grow so that every row could hold `tokens`."""
        if tokens <= self.room:
            return
        extra = max(tokens, 2 * self.room, _FIRST_ROOM) - self.room
        self.keys = [_grown(one, extra) for one in self.keys]
        self.values = [_grown(one, extra) for one in self.values]

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store `keys` and `values` [rows, heads, n, head width] at `places` [rows, n]."""
        rows = torch.arange(places.shape[0], device=places.device)[:, None]
        # Indexing with two tensors around a slice puts the indexed axes first: [rows, n, heads,
        # ..].
        self.keys[layer][rows, :, places] = keys.transpose(1, 2)
        self.values[layer][rows, :, places] = values.transpose(1, 2)

    def read(self, layer: int, tokens: int) -> tuple[Tensor, Tensor]:
        """The first `tokens` places of one layer, [rows, heads, tokens, head width]."""
        return self.keys[layer][:, :, :tokens], self.values[layer][:, :, :tokens]

    def reorder(self, rows: np.ndarray) -> None:
        """Row i becomes a copy of old row `rows[i]` (int64)."""
        index = torch.from_numpy(rows).to(self.keys[0].device)
        self.keys = [one.index_select(0, index) for one in self.keys]
        self.values = [one.index_select(0, index) for one in self.values]
        self.lengths = self.lengths[rows]


def _grown(one: Tensor, extra: int) -> Tensor:
    rows, heads, _, head_width = one.shape
    return torch.cat([one, one.new_zeros(rows, heads, extra, head_width)], dim=2)
