"""Whisper's encoder in torch: log-mel -> states, and every block's output. No engine, no files."""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from tercet.model.layers import Attention, mlp


class EncoderBlock(nn.Module):
    """Self-attention and MLP, each with its norm before it."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same shape."""
        normed = self.self_attn_layer_norm(x)
        q = self.self_attn.queries(normed)
        k, v = self.self_attn.keys_values(normed)
        x = x + self.self_attn.attend(q, k, v)
        return mlp(x, self.final_layer_norm, self.fc1, self.fc2)


class AudioEncoder(nn.Module):
    """The encoder (Whisper, arXiv:2212.04356, sec.

    2.2); windows shorter than `n_audio_ctx` are allowed.
    """

    def __init__(
        self, *, n_mels: int, width: int, layers: int, heads: int, mlp_width: int, n_audio_ctx: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_mels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(n_audio_ctx, width)
        self.layers = nn.ModuleList(EncoderBlock(width, heads, mlp_width) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)

    def blocks(self, mel: Tensor) -> Iterator[Tensor]:
        """Each block's output in turn, [B, frames, width], from `mel` [B, n_mels, 2 x frames]."""
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
            yield x

    def forward(self, mel: Tensor) -> Tensor:
        """`mel` [B, n_mels, 2 x frames] -> states [B, frames, width]."""
        *_, last = self.blocks(mel)
        states: Tensor = self.layer_norm(last)
        return states
