"""The quantizer that is trained: `model.quantizer` with a codebook that moves by averages.

Codebooks are vector-quantize-pytorch's (cosine rows with moving averages and revival of dead ones, or FSQ's
fixed grid). Losses, data and steps are not here.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, VectorQuantize

from tercet.checkpoint.heads import Downsampling, HeadArrays, Origin, Quantizer
from tercet.model.layers import mlp
from tercet.model.quantizer import CodebookLevel, QuantizerModel, RotaryBlock
from tercet.train.tokens.places import Places

Kind = Literal["vq", "fsq"]
# What a head and its training have in common.
_OF_HEAD = (
    "width",
    "heads",
    "mlp_width",
    "code_width",
    "depth",
    "blocks",
    "downsample",
    "downsampling",
    "positions",
    "has_state_mean",
    "has_rope",
    "query_mult",
)
GRID_RADIUS = 32.0  # how far FSQ's grid is lifted, so that its nearest point has the largest cosine


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleneckSettings:
    """The sizes of a quantizer, and how its codebook is trained."""

    width: int = 512  # the encoder's
    heads: int = 8
    mlp_width: int = 1024
    code_width: int = 64  # columns of the codebook (FSQ: number of levels + 1)
    codes: int = 2560  # rows without the mask's (FSQ: the product of its levels)
    depth: int = 1  # residual levels
    blocks: int = 1
    downsample: int = 2
    downsampling: Downsampling = "mean"
    has_rope: bool = True
    query_mult: float = 2.0
    positions: int = 1500
    has_state_mean: bool = True
    kind: Kind = "vq"
    levels: tuple[int, ...] = ()  # of FSQ
    decay: float = 0.99  # of the moving averages, per step
    revive_below: float = 0.0  # rows with fewer uses (moving average per step) start anew; 0: never
    rotation: bool = False  # the rotation trick (arXiv:2410.06424) in place of straight-through
    mask_is_code: bool = False  # as Ichigo has it: padding's row is one that sound may choose, too

    def head(self) -> Quantizer:
        """An empty head of these sizes; the mask is the last row."""
        same: dict[str, Any] = {name: getattr(self, name) for name in _OF_HEAD}
        rows, mask = self.codes + 1, self.codes
        return Quantizer(**same, codebook_size=rows, mask_code=mask, arrays=HeadArrays({}))


def settings_of(head: Quantizer, **changes: Any) -> BottleneckSettings:
    """The settings of an existing head, for training it further; `changes` are settings of the training."""
    same = {name: getattr(head, name) for name in _OF_HEAD}
    return BottleneckSettings(**same, codes=head.codebook_size - 1, **changes)


class Quantized(NamedTuple):
    """What the codebook makes of features [N, width]."""

    rows: Tensor  # [N, width], with gradients for the features
    codes: Tensor  # int64 [N, depth]
    commitment: Tensor  # mean squared distance of features from their rows, summed over levels


class Bottleneck(nn.Module):
    """States -> codes -> states, trainable."""

    def __init__(self, settings: BottleneckSettings) -> None:
        """An untrained one with torch's random start; `start.py` gives it a better one."""
        super().__init__()
        self.settings = settings
        self.model = QuantizerModel(settings.head())
        self.books = nn.ModuleList(_book(settings) for _ in range(settings.depth))
        self.own_mask_row = nn.Parameter(torch.zeros(settings.code_width))
        self.own_mask_row.requires_grad_(not settings.mask_is_code)

    @property
    def levels(self) -> list[CodebookLevel]:
        """The projections of each residual level."""
        return [level for level in self.model.levels if isinstance(level, CodebookLevel)]

    def features(self, states: Tensor) -> Tensor:
        """What is quantized, [frames / downsample, width], of a window's first states [frames, width]."""
        return self.model.features(states[None])[0]

    def quantize(self, features: Tensor) -> Quantized:
        """Nearest rows of features [N, width]; while training, the codebooks move towards their features."""
        total, commitment = torch.zeros_like(features), features.new_zeros(())
        codes = []
        for level, book in zip(self.levels, self.books, strict=True):
            rows, found, distance = _nearest(level, book, features)
            codes.append(found)
            commitment = commitment + distance
            total = total + rows
            features = features - rows
        return Quantized(total, torch.stack(codes, dim=-1), commitment)

    @property
    def mask_row(self) -> Tensor:
        """What stands in the codebook for padding, [code_width]."""
        if self.settings.mask_is_code:
            return codebook_rows(self.books[0])[-1].detach()
        return self.own_mask_row

    def mask_features(self) -> Tensor:
        """What the mask's row stands for, [width]; the same on every level."""
        heard = [level.project_out(self.mask_row) for level in self.levels]
        return torch.stack(heard).sum(0)

    def restore(self, rows: Tensor, places: Places, is_sound: Tensor | None = None) -> Tensor:
        """States [T, width] at `places` from the rows [n, width] of a window's first n codes.

        Behind them stands the mask's row; also where `is_sound` (bool [T]) says no.
        """
        step = self.settings.downsample
        of_code = (places.index // step).clamp(max=len(rows))
        if is_sound is not None:
            of_code = of_code.masked_fill(~is_sound, len(rows))
        padded = torch.cat([rows, self.mask_features()[None]])
        x = padded[of_code] + self.model.embed_positions.weight[places.index]
        x = x[None]
        for block in self.model.blocks:
            assert isinstance(block, RotaryBlock)
            x = _block_at(block, x, places)
        restored: Tensor = self.model.layer_norm(x)[0]
        return (
            restored + self.model.state_mean[places.index]
            if self.settings.has_state_mean
            else restored
        )

    def load(self, head: Quantizer) -> None:
        """Take over a head's arrays; the codebooks' averages start as if each row had been used once a step.

        Raises:
            CheckpointError: an array is missing, odd, or too many.
        """
        filled = QuantizerModel(head).load_head()
        rest = {
            name: value
            for name, value in filled.state_dict().items()
            if not name.endswith(".codebook")
        }
        self.model.load_state_dict(rest, strict=False)
        for index, book in enumerate(self.books):
            rows = torch.from_numpy(
                np.array(head.arrays.read(f"levels.{index}.codebook"), np.float32)
            )
            mask = self.settings.codes if head.mask_code is None else head.mask_code
            if not self.settings.mask_is_code:
                self.own_mask_row.data.copy_(rows[mask])
                rows = torch.cat([rows[:mask], rows[mask + 1 :]])
            if isinstance(book, VectorQuantize):
                set_codebook(book, rows, uses=1.0)

    def export(self, origin: Origin) -> Quantizer:
        """The head as it is now, its arrays in float32."""
        values = {
            name: value.detach().float().cpu().numpy().copy()
            for name, value in self.model.state_dict().items()
        }
        for index, book in enumerate(self.books):
            table = codebook_rows(book)
            if not self.settings.mask_is_code:
                table = torch.cat([table, self.mask_row[None]])
            values[f"levels.{index}.codebook"] = table.detach().float().cpu().numpy()
            if isinstance(book, FSQ):
                bias = values[f"levels.{index}.project_in.bias"]
                bias[-1] = GRID_RADIUS
                values[f"levels.{index}.project_in.weight"][-1] = 0
        return replace(self.settings.head(), arrays=HeadArrays(values), origin=origin)


def codebook_rows(book: nn.Module) -> Tensor:
    """A book's rows [codes, code_width], each of length 1."""
    if isinstance(book, VectorQuantize):
        rows: Tensor = book.codebook
        return F.normalize(rows, dim=-1)
    assert isinstance(book, FSQ)
    return lifted(_grid(book))


def set_codebook(book: VectorQuantize, rows: Tensor, uses: float) -> None:
    """Start a book with rows [codes, code_width]; `uses`: how often each is taken to be used per step."""
    inner: Any = book._codebook
    unit = F.normalize(rows, dim=-1)
    inner.embed.data.copy_(unit[None])
    inner.cluster_size.data.fill_(uses)
    inner.embed_avg.data.copy_(unit[None] * uses)
    inner.initted.data.fill_(True)


def lifted(points: Tensor) -> Tensor:
    """Points [N, d] on a sphere in d + 1 dimensions: the largest cosine is the smallest distance, nearly."""
    height = (GRID_RADIUS**2 - points.square().sum(-1, keepdim=True)).sqrt()
    return torch.cat([points, height], dim=-1) / GRID_RADIUS


def _grid(book: FSQ) -> Tensor:
    """All points of the grid, in units of one level."""
    points: Tensor = book.implicit_codebook * (book._levels // 2)
    return points


def _book(settings: BottleneckSettings) -> nn.Module:
    if settings.kind == "fsq":
        if math.prod(settings.levels) != settings.codes:
            raise ValueError("FSQ has as many codes as the product of its levels")
        if len(settings.levels) + 1 != settings.code_width:
            raise ValueError("FSQ's code width is the number of its levels and one")
        grid: nn.Module = FSQ(list(settings.levels))
        return grid
    book: nn.Module = VectorQuantize(
        dim=settings.code_width,
        codebook_size=settings.codes + settings.mask_is_code,
        use_cosine_sim=True,
        decay=settings.decay,
        threshold_ema_dead_code=settings.revive_below,
        commitment_weight=1.0,
        rotation_trick=settings.rotation,
    )
    return book


def _nearest(
    level: CodebookLevel, book: nn.Module, features: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [N, width], codes [N] and the distance of features [N, width] on one level."""
    x = level.project_in(features).float()
    if isinstance(book, VectorQuantize):
        unit, codes, commitment = book(x[None])
        rows: Tensor = level.project_out(unit[0])
        return rows, codes[0], commitment.reshape(())
    assert isinstance(book, FSQ)
    sizes = book._levels.to(x)
    low, high = -(sizes // 2), (sizes - 1) // 2
    flat = torch.minimum(torch.maximum(x[:, :-1], low), high)
    near = flat + (flat.round() - flat).detach()
    codes = ((near.detach() + sizes // 2) * book._basis).sum(-1).round().long()
    return level.project_out(lifted(near)), codes, x.new_zeros(())


def _block_at(block: RotaryBlock, x: Tensor, places: Places) -> Tensor:
    """A block over the positions of `places` alone, each heard as often as it stands for."""
    normed = block.self_attn_layer_norm(x)
    q = block.self_attn.queries(normed) * block.scale
    k, v = block.self_attn.keys_values(normed)
    if block.has_rope:
        q, k = (turned(each, block, places.index) for each in (q, k))
    x = x + block.self_attn.attend(q, k, v, places.bias)
    return mlp(x, block.final_layer_norm, block.fc1, block.fc2)


def turned(x: Tensor, block: RotaryBlock, index: Tensor) -> Tensor:
    """Rotary positions of [B, heads, T, head width] at positions `index` [T]."""
    cos, sin = (table.to(x.device, x.dtype)[index] for table in block.tables)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
