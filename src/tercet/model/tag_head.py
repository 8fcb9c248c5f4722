"""Whisper-AT's tagging heads in torch: taps -> logits, all modes. No engine, no files.

Modules are named as `checkpoint.head_naming` names the arrays, so that a state dict needs no translation.
"""

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from tercet.checkpoint.head_naming import check_head
from tercet.checkpoint.heads import Layers, TagHead
from tercet.model.encoder import EncoderBlock


class NormedLinear(nn.Module):
    """A layer norm, then a matrix with its bias."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        """[.., width] -> [.., out]."""
        projected: Tensor = self.proj(self.norm(x))
        return projected


class AudioTagger(nn.Module):
    """A tagging head (Whisper-AT, arXiv:2307.03183, sec. 3), any combination of `TagHead`'s choices."""

    def __init__(
        self,
        *,
        layers: Layers,
        n_layers: int | None,
        width: int,
        hidden: int,
        has_projection: bool,
        time_heads: int,
        layer_heads: int,
        n_labels: int,
    ) -> None:
        """Arguments as `TagHead`'s; `n_layers` is needed for a weighted mean alone."""
        super().__init__()
        self.layers = layers
        self.layer_weight: nn.Parameter | None = None
        if layers == "weighted":
            if n_layers is None:
                raise ValueError("a weighted mean needs n_layers")
            self.layer_weight = nn.Parameter(torch.full((n_layers,), 1 / n_layers))
        self.down = NormedLinear(width, hidden) if has_projection else None
        self.time_block = EncoderBlock(hidden, time_heads, 4 * hidden) if time_heads else None
        self.layer_block = EncoderBlock(hidden, layer_heads, 4 * hidden) if layer_heads else None
        self.classifier = NormedLinear(hidden, n_labels)

    def forward(self, taps: Tensor) -> Tensor:
        """`taps` [B, layers, frames, width], one window each -> logits [B, labels]."""
        return self.classify(self.project(taps))

    def project(self, taps: Tensor) -> Tensor:
        """What depends on a frame alone: [B, all layers, frames, width] -> [B, layers, frames, hidden].

        `layers` is 1 where the head combines them.
        """
        if self.layers == "last":
            taps = taps[:, -1:]
        elif self.layers == "mean":
            taps = taps.mean(1, keepdim=True)
        elif self.layer_weight is not None:
            # Free real weights over their sum, no softmax, as Whisper-AT has it.
            shares = self.layer_weight / self.layer_weight.sum()
            taps = (taps * shares[:, None, None]).sum(1, keepdim=True)
        return taps if self.down is None else cast(Tensor, self.down(taps))

    def classify(self, frames: Tensor) -> Tensor:
        """The rest: [B, layers, frames, hidden] -> logits [B, labels]."""
        if self.time_block is not None:
            frames = self.time_block(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        x = frames.mean(2)
        if self.layer_block is not None:
            x = self.layer_block(x)
        logits: Tensor = self.classifier(x.mean(1))
        return logits


def build_tag_head(head: TagHead) -> AudioTagger:
    """A module with the head's weights, float32, on the CPU, ready to be trained further.

    Raises:
        CheckpointError: an array is missing or odd.
    """
    check_head(head)
    with torch.device("meta"):  # no memory and no random start for what is overwritten at once
        module = AudioTagger(
            layers=head.layers,
            n_layers=head.n_layers,
            width=head.width,
            hidden=head.hidden,
            has_projection=head.has_projection,
            time_heads=head.time_heads,
            layer_heads=head.layer_heads,
            n_labels=head.n_labels,
        )
    weights = {
        name: torch.from_numpy(np.array(head.arrays.read(name), dtype=np.float32))
        for name in head.arrays.names()
    }
    module.load_state_dict(weights, assign=True)
    return module
