"""One part's logits over the whole vocabulary, made and used block by block, while a block is in the cache.

A row of logits is 200 kB wide: passes over whole rows wait for memory, and a product with the whole table
rearranges 100 MB of it each time. Blocks of a thousand ids do neither; on a CPU that halves a step's time
(`benchmarks/distil_step.py`). A GPU takes the vocabulary as one block.
"""

import torch
from torch import Tensor

BLOCK = 1024  # ids of a block on a CPU: 128 positions of it are 0.5 MB


class Buffers:
    """Room for the logits of some positions, used again for every part."""

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        """`rows` positions at most."""
        width = BLOCK if device.type == "cpu" else vocabulary
        self.blocks = [slice(at, min(at + width, vocabulary)) for at in range(0, vocabulary, width)]
        self._room = torch.empty(len(self.blocks), rows * min(width, vocabulary), device=device)

    def views(self, rows: int) -> list[Tensor]:
        """A float32 [rows, ids] for each block; what is in them is anything."""
        return [
            self._room[number, : rows * (block.stop - block.start)].view(rows, -1)
            for number, block in enumerate(self.blocks)
        ]


class Softmax:
    """exp(logits / temperature) of some positions, below its largest value, and what was summed on the way.

    Attributes:
        views: float32 [rows, ids] per block: logits / temperature, less the row's largest; after
            `exponentiate` their exponentials.
        top: The largest logit / temperature of each row, float32 [rows, 1].
        best: Its id, int64 [rows].
        total: Sum of the exponentials, float32 [rows, 1], after `exponentiate`.
    """

    def __init__(
        self, hidden: Tensor, table: Tensor, buffers: Buffers, *, temperature: float
    ) -> None:
        """Make the logits.

        Args:
            hidden: [rows, width], in the type that products are computed in.
            table: The token embedding [vocabulary, width], in the same.
            buffers: Taken until the next part.
            temperature: Above 0.
        """
        self.blocks = buffers.blocks
        self.views = buffers.views(len(hidden))
        cooled = hidden / temperature
        tops = torch.empty(len(hidden), len(self.blocks), device=hidden.device)
        for number, (block, view) in enumerate(zip(self.blocks, self.views, strict=True)):
            _product(cooled, table[block].T, view)
            torch.amax(view, -1, out=tops[:, number])
        self.top, where = tops.max(-1, keepdim=True)
        self.best = self._best(where)
        self.total = torch.zeros_like(self.top)

    def value(self, ids: Tensor) -> Tensor:
        """Logit / temperature, less the row's largest, of an id per row, [rows, 1]."""
        values = torch.empty_like(self.top)
        for block, view in zip(self.blocks, self.views, strict=True):
            inside = (ids >= block.start) & (ids < block.stop)
            if inside.any():
                values[inside, 0] = view[inside, ids[inside] - block.start]
        return values - self.top

    def exponentiate(self, number: int) -> Tensor:
        """Turn a block into exponentials, and add them to `total`."""
        view = self.views[number]
        view.sub_(self.top).exp_()
        self.total += view.sum(-1, keepdim=True)
        return view

    def _best(self, where: Tensor) -> Tensor:
        best = torch.empty(len(where), dtype=torch.int64, device=where.device)
        for number in set(where[:, 0].tolist()):
            rows = where[:, 0] == number
            best[rows] = self.views[number][rows].argmax(-1) + self.blocks[number].start
        return best


def _product(hidden: Tensor, columns: Tensor, out: Tensor) -> None:
    """`hidden` @ `columns`, into a float32 block."""
    if hidden.dtype == out.dtype:
        torch.mm(hidden, columns, out=out)
    else:
        out.copy_(hidden @ columns)
