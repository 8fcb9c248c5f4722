"""What the teacher's decoder knew at each position of a text: computed once, and remembered."""

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor

from tercet.model.decoder import TextDecoder
from tercet.train.forced import hidden_of_text
from tercet.train.text.data import Batch
from tercet.train.text.losses import IGNORED

_BYTES_PER_MB = 2**20


class Guide(NamedTuple):
    """Of all positions of a batch's texts, float32 [B, n, width] each; anything behind a text's end."""

    hidden: Tensor  # behind the last norm
    read: Tensor  # what goes into the layer whose attention a draft shares


class Guides:
    """What the teacher knew, by window and text, in float16, the oldest ones forgotten first.

    A window's text comes in few forms (with and without timestamps, with and without a prompt), so that most
    of them are there from the second epoch on.
    """

    def __init__(self, layer: int, room_mb: int) -> None:
        """`layer` of the teacher, from 0; `room_mb`: how much may be remembered; 0: nothing."""
        self._layer = layer
        self._room = room_mb * _BYTES_PER_MB
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._size = 0

    @torch.no_grad()
    def of(self, teacher: TextDecoder, given: Batch) -> Guide:
        """What the teacher knew along all texts of a batch."""
        keys = [
            (number, *ids[:length])
            for number, ids, length in zip(
                given.numbers.tolist(), given.inputs.tolist(), _lengths(given.targets), strict=True
            )
        ]
        missing = [row for row, key in enumerate(keys) if key not in self._kept]
        size = (*given.inputs.shape, 2 * teacher.embed_tokens.embedding_dim)
        found = torch.zeros(size, device=given.inputs.device)
        if missing:
            found[missing] = self._known(teacher, given.inputs[missing], given.states[missing])
        for row, key in enumerate(keys):
            if row in missing:
                self._keep(key, found[row, : len(key) - 1])
            else:
                kept = self._kept[key]
                found[row, : len(kept)] = kept.to(found)
        hidden, read = found.chunk(2, dim=-1)
        return Guide(hidden, read)

    def _known(self, teacher: TextDecoder, ids: Tensor, states: Tensor) -> Tensor:
        """Of some texts, both side by side."""
        outputs: list[Tensor] = []
        hidden = hidden_of_text(teacher, ids, states, outputs=outputs)
        if self._layer:
            read = outputs[self._layer - 1]
        else:
            read = teacher.embed_tokens(ids) + teacher.embed_positions.weight[: ids.shape[1]]
        return torch.cat([hidden, read], dim=-1).float()

    def _keep(self, key: tuple[int, ...], states: Tensor) -> None:
        if not self._room or key in self._kept:
            return
        self._kept[key] = states.to("cpu", torch.float16)
        self._size += 2 * states.numel()
        while self._size > self._room:
            _, oldest = self._kept.popitem(last=False)
            self._size -= 2 * oldest.numel()


def _lengths(targets: Tensor) -> list[int]:
    """Of each row [B, n] the positions up to the last one that something is asked for."""
    places = torch.arange(1, targets.shape[1] + 1, device=targets.device)
    lengths: list[int] = ((targets != IGNORED) * places).amax(1).tolist()
    return lengths
