"""A quantizer in torch: WhisperVQ's and Ichigo-Whisper's, named as `checkpoint.head_naming` names it.

Features, codes, and states from codes. The codebook is a buffer, which training moves by averages; losses
and that training are not here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.head_naming import check_head
from tercet.checkpoint.heads import Quantizer
from tercet.convert.quantizer import rotary_tables
from tercet.model.encoder import EncoderBlock
from tercet.model.layers import mlp


class ResidualMlp(nn.Module):
    """x + MLP(LN(x)), in front of the codebook."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[.., width] -> the same shape."""
        return mlp(x, self.norm, self.fc1, self.fc2)


class CodebookLevel(nn.Module):
    """One codebook, searched by cosine, between its two projections."""

    codebook: Tensor

    def __init__(self, width: int, code_width: int, size: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(width, code_width)
        self.project_out = nn.Linear(code_width, width)
        self.register_buffer("codebook", torch.zeros(size, code_width))

    def nearest(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Codes int64 [..] of `x` [.., width].

        `bias` [size] is added to the cosines.
        """
        # In float32 whatever the weights are: rows may differ by less than half precision tells.
        direction = F.normalize(self.project_in(x).float(), dim=-1)
        cosines = direction @ self.codebook.float().T
        return (cosines if bias is None else cosines + bias).argmax(-1)

    def rows(self, codes: Tensor) -> Tensor:
        """Codes [..] -> the encoder's width, [.., width]."""
        rows: Tensor = self.project_out(self.codebook[codes].to(self.project_out.weight.dtype))
        return rows


class RotaryBlock(EncoderBlock):
    """An encoder's block with WhisperSpeech's scale of logits and rotary positions (half-split)."""

    def __init__(self, head: Quantizer) -> None:
        super().__init__(head.width, head.heads, head.mlp_width)
        head_width = head.width // head.heads
        # `attend` divides by the root of the head width once more.
        self.scale = head.query_mult * 8 / head_width**0.5
        self.has_rope = head.has_rope
        cos, sin = rotary_tables(head_width, head.positions)
        # Not stored: they follow from the sizes. (On the CPU, also where modules are made on "meta".)
        self.tables = (torch.from_numpy(cos), torch.from_numpy(sin))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same shape."""
        normed = self.self_attn_layer_norm(x)
        q = self.self_attn.queries(normed) * self.scale
        k, v = self.self_attn.keys_values(normed)
        if self.has_rope:
            q, k = self._turned(q), self._turned(k)
        x = x + self.self_attn.attend(q, k, v)
        return mlp(x, self.final_layer_norm, self.fc1, self.fc2)

    def _turned(self, x: Tensor) -> Tensor:
        cos, sin = (table[: x.shape[2]].to(x.device, x.dtype) for table in self.tables)
        left, right = x.chunk(2, dim=-1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


class QuantizerModel(nn.Module):
    """States -> features -> codes -> states."""

    state_mean: Tensor

    def __init__(self, head: Quantizer) -> None:
        """An untrained module of a head's sizes; `load_head` fills it."""
        super().__init__()
        self.head = head
        if head.downsampling == "conv":
            self.downsample_conv = nn.Conv1d(
                head.width, head.width, 3, stride=head.downsample, padding=1
            )
        if head.has_state_mean:
            self.register_buffer("state_mean", torch.zeros(head.positions, head.width))
        self.mlp = ResidualMlp(head.width, head.mlp_width)
        self.levels = nn.ModuleList(
            CodebookLevel(head.width, head.code_width, head.codebook_size)
            for _ in range(head.depth)
        )
        self.embed_positions = nn.Embedding(head.positions, head.width)
        self.blocks = nn.ModuleList(RotaryBlock(head) for _ in range(head.blocks))
        self.layer_norm = nn.LayerNorm(head.width)

    def load_head(self) -> "QuantizerModel":
        """Take over the head's own arrays; returns the module.

        Raises:
            CheckpointError: one is missing, odd, or too many.
        """
        check_head(self.head)
        arrays = self.head.arrays
        own = self.state_dict()
        with torch.no_grad():
            for name in arrays.names():
                own[name].copy_(torch.from_numpy(arrays.read(name).copy()))
        return self

    def features(self, states: Tensor) -> Tensor:
        """What is quantized: [B, frames, width] -> [B, frames / downsample, width]."""
        if self.head.has_state_mean:
            states = states - self.state_mean[: states.shape[1]]
        features: Tensor = self.mlp(self._downsampled(states))
        return features

    def codes(self, features: Tensor, bias: Tensor | None = None) -> Tensor:
        """Codes int64 [B, n, depth] of features [B, n, width]; `bias` [codebook_size] is added to cosines."""
        found = []
        for level in self._levels():
            found.append(level.nearest(features, bias))
            features = features - level.rows(found[-1])
        return torch.stack(found, dim=-1)

    def encode(self, states: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features and codes of `states` [B, frames, width], frames a multiple of `downsample`."""
        features = self.features(states)
        return features, self.codes(features, bias)

    def decode(self, codes: Tensor) -> Tensor:
        """States [B, positions, width] from whole windows' codes [B, positions / downsample, depth]."""
        x = torch.stack([level.rows(codes[:, :, i]) for i, level in enumerate(self._levels())]).sum(
            0
        )
        return self.from_quantized(x)

    def from_quantized(self, quantized: Tensor) -> Tensor:
        """States [B, positions, width] from quantized features [B, positions / downsample, width]."""
        x = quantized.repeat_interleave(self.head.downsample, dim=1) + self.embed_positions.weight
        for block in self.blocks:
            x = block(x)
        states: Tensor = self.layer_norm(x)
        return states + self.state_mean if self.head.has_state_mean else states

    def forward(self, states: Tensor) -> Tensor:
        """States [B, positions, width] -> the same through the codebook."""
        return self.decode(self.encode(states)[1])

    def _levels(self) -> list[CodebookLevel]:
        return [level for level in self.levels if isinstance(level, CodebookLevel)]

    def _downsampled(self, states: Tensor) -> Tensor:
        """One state per code: [B, frames, width] -> [B, frames / downsample, width]."""
        step = self.head.downsample
        if self.head.downsampling == "mean":
            batch, frames, width = states.shape
            return states.reshape(batch, frames // step, step, width).mean(2)
        first = states[:, ::step]
        if self.head.downsampling == "stride":
            return first
        heard: Tensor = self.downsample_conv(states.transpose(1, 2)).transpose(1, 2)
        return first + heard
