"""The parts that encoder and decoder share: projections split into heads, and the two-layer MLP.

Modules are named as Hugging Face names the arrays, so that a state dict needs no translation.
No cache is known here: the decoder hands keys and values in.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """The four projections of multi-head attention (Whisper gives keys no bias)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def queries(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, heads, T, width / heads]."""
        return self._split(self.q_proj(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, width] -> two of [B, heads, T, width / heads]."""
        return self._split(self.k_proj(x)), self._split(self.v_proj(x))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None = None) -> Tensor:
        """Attention's output [B, T, width].

        `visible` (bool, broadcast to [B, heads, T, S]) marks keys.
        """
        return self._join(F.scaled_dot_product_attention(q, k, v, attn_mask=visible))

    def attend_openly(
        self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same, and the weights float32 [B, heads, T, S]."""
        scores = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).float()
        if visible is not None:
            scores = scores.masked_fill(~visible, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        return self._join(weights.to(v.dtype) @ v), weights

    def _split(self, x: Tensor) -> Tensor:
        B, T, width = x.shape  # noqa: N806
        return x.view(B, T, self.heads, width // self.heads).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        joined: Tensor = self.out_proj(x.transpose(1, 2).flatten(2))
        return joined


def mlp(x: Tensor, norm: nn.LayerNorm, up: nn.Linear, down: nn.Linear) -> Tensor:
    """The feed-forward half of a block, residual included."""
    hidden: Tensor = down(F.gelu(up(norm(x))))
    return x + hidden
