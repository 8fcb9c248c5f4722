"""Whisper's decoder in torch, step by step over a ragged cache or as one pass.

No engine, no files.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.model.cache import RaggedCache
from tercet.model.layers import Attention, mlp


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention and MLP, each with its norm before it."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = Attention(width, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        x: Tensor,
        states: Tensor,
        visible: Tensor,
        heard: Tensor | None = None,
        dropout: float = 0.0,
    ) -> Tensor:
        """Whole texts `x` [B, n, width] over `states` [B, T, width], without a cache -> the same shape.

        `visible` and `heard` mark the positions of text and states that each position sees; `dropout` is the
        share of what each half adds that is dropped.
        """
        normed = self.self_attn_layer_norm(x)
        q = self.self_attn.queries(normed)
        update = self.self_attn.attend(q, *self.self_attn.keys_values(normed), visible)
        x = x + F.dropout(update, dropout)
        q = self.encoder_attn.queries(self.encoder_attn_layer_norm(x))
        update = self.encoder_attn.attend(q, *self.encoder_attn.keys_values(states), heard)
        x = x + F.dropout(update, dropout)
        added = mlp(x, self.final_layer_norm, self.fc1, self.fc2)
        return x + F.dropout(added - x, dropout) if dropout else added


class TextDecoder(nn.Module):
    """The decoder (Whisper, arXiv:2212.04356, sec.

    2.2); output weights are the token embedding's.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        width: int,
        layers: int,
        heads: int,
        mlp_width: int,
        n_text_ctx: int,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, width)
        self.embed_positions = nn.Embedding(n_text_ctx, width)
        self.layers = nn.ModuleList(DecoderBlock(width, heads, mlp_width) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)

    @property
    def blocks(self) -> list[DecoderBlock]:
        """The layers, by their type (`nn.ModuleList` forgets it)."""
        return cast(list[DecoderBlock], list(self.layers))

    def cross_keys_values(self, states: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What every layer's cross-attention needs of `states` [rows, frames, width]."""
        return [layer.encoder_attn.keys_values(states) for layer in self.blocks]

    def forward(self, tokens: Tensor, states: Tensor) -> Tensor:
        """Logits float32 [B, T, vocab] of whole rows `tokens` [B, T] over `states` [B, frames, width]."""
        empty = self.blocks[0].self_attn.keys_values(states[:, :0])[0]
        cache = RaggedCache(len(self.layers), empty)
        hidden, _ = self.run(tokens, cache, self.cross_keys_values(states))
        return self.logits(hidden)

    def run(
        self,
        tokens: Tensor,
        cache: RaggedCache,
        cross: Sequence[tuple[Tensor, Tensor]],
        watched: frozenset[int] = frozenset(),
        heard: Tensor | None = None,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Append `tokens` [rows, n] behind each row's length.

        The lengths themselves are the caller's to move. `heard` (bool [rows, 1, 1, frames]) marks the frames
        of `cross` that are a row's own; None: all are.

        Returns:
            Hidden states [rows, n, width] after the final norm, and the cross-attention of the
            `watched` layers, float32 [rows, heads, n, frames].
        """
        n = tokens.shape[1]
        total = int(cache.lengths.max(initial=0)) + n
        cache.make_room(total)
        lengths = torch.from_numpy(cache.lengths).to(tokens.device)
        places = lengths[:, None] + torch.arange(n, device=tokens.device)
        # Padding behind a row's last position has a place in the cache but none in the table.
        last = self.embed_positions.num_embeddings - 1
        x = self.embed_tokens(tokens) + self.embed_positions(places.clamp(max=last))
        visible: Tensor | None = (
            torch.arange(total, device=tokens.device) <= places[:, None, :, None]
        )
        if n == 1 and np.all(cache.lengths == total - 1):
            visible = None  # one token behind rows of one length sees all: kernels without a mask
        seen: dict[int, Tensor] = {}
        for i, layer in enumerate(self.blocks):
            normed = layer.self_attn_layer_norm(x)
            cache.write(i, places, *layer.self_attn.keys_values(normed))
            keys, values = cache.read(i, total)
            x = x + layer.self_attn.attend(layer.self_attn.queries(normed), keys, values, visible)
            q = layer.encoder_attn.queries(layer.encoder_attn_layer_norm(x))
            if i in watched:
                update, seen[i] = layer.encoder_attn.attend_openly(q, *cross[i], heard)
            else:
                update = layer.encoder_attn.attend(q, *cross[i], heard)
            x = mlp(x + update, layer.final_layer_norm, layer.fc1, layer.fc2)
        return self.layer_norm(x), seen

    def logits(self, hidden: Tensor) -> Tensor:
        """[.., width] -> float32 [.., vocab]."""
        return nn.functional.linear(hidden, self.embed_tokens.weight).float()
