"""Where a quantizer begins: means of the states, their main directions, rows by k-means, and back.

Nothing is learnt by gradients here. A start at random (Ichigo's) leaves most rows unused for long: 33 of 512
after 300 steps, where this one uses 509.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from vector_quantize_pytorch import FSQ, VectorQuantize

from tercet.dataset.encoded import EncodedReader
from tercet.model.quantizer import RotaryBlock
from tercet.train.tokens.bottleneck import Bottleneck, codebook_rows, lifted, set_codebook

_MEAN_PRIOR = 4.0  # states by which each position's mean is drawn to the mean of all
_MOST_FEATURES = 150_000
_ROUNDS = 12  # of k-means
_CHUNK = 8192
_BESIDE = 1e-3


@torch.no_grad()
def start(
    bottleneck: Bottleneck, readers: Sequence[EncodedReader], *, windows: int, seed: int
) -> None:
    """Fill an untrained bottleneck from windows of states, in place.

    Args:
        bottleneck: As it was made.
        readers: Of the sets; windows are drawn from each.
        windows: How many of each set.
        seed: Of the draws.
    """
    rng = np.random.default_rng([seed, 17])
    numbers = [
        (reader, int(at)) for reader in readers for at in rng.permutation(len(reader))[:windows]
    ]
    model, settings = bottleneck.model, bottleneck.settings
    if settings.has_state_mean:
        mean = state_means(_states(numbers, 1), settings.positions, settings.width)
        model.state_mean.copy_(mean)
    _silence_additions(bottleneck)
    features = torch.cat(
        [bottleneck.features(states) for states in _states(numbers, settings.downsample)]
    )
    if len(features) > _MOST_FEATURES:
        kept = rng.permutation(len(features))[:_MOST_FEATURES]
        features = features[torch.from_numpy(kept)]
    # What the last norm gives has the size of the states that it stands for.
    size = features.square().mean().sqrt()
    model.layer_norm.weight.fill_(float(size))
    left = features
    for number in range(settings.depth):
        left = left - _start_level(bottleneck, number, left, seed + number)
    for (
        level
    ) in bottleneck.levels:  # in front of the blocks, features have the size that blocks expect
        level.project_out.weight.div_(size)
        level.project_out.bias.div_(size)


def state_means(states: Iterator[Tensor], positions: int, width: int) -> Tensor:
    """The mean of each position's states, [positions, width]; of rare positions, nearly the mean of all."""
    sums, counts = torch.zeros(positions, width), torch.zeros(positions, 1)
    for each in states:
        sums[: len(each)] += each
        counts[: len(each)] += 1
    overall = sums.sum(0) / counts.sum().clamp(min=1)
    return (sums + _MEAN_PRIOR * overall) / (counts + _MEAN_PRIOR)


def kmeans(points: Tensor, k: int, *, seed: int, rounds: int = _ROUNDS) -> Tensor:
    """Centres of length 1 [k, d] for directions [n, d] of length 1 (spherical k-means).

    Centres without a point begin anew at a random point.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.randperm(len(points), generator=generator)
    centres = points[first[torch.arange(k) % len(points)]]
    for _ in range(rounds):
        nearest = torch.cat([(part @ centres.T).argmax(-1) for part in torch.split(points, _CHUNK)])
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=k)
        empty = counts == 0
        if empty.any():
            drawn = torch.randint(len(points), (int(empty.sum()),), generator=generator)
            # Beside a point, not on it: there may be more centres than points.
            sums[empty] = points[drawn] + _BESIDE * torch.randn(
                len(drawn), points.shape[1], generator=generator
            )
        centres = F.normalize(sums, dim=-1)
    return centres


def _states(numbers: Sequence[tuple[EncodedReader, int]], step: int) -> Iterator[Tensor]:
    """States of the sound, a multiple of `step` of each window."""
    for reader, at in numbers:
        item = reader[at]
        assert item.states is not None
        n = int(item.facts["n_states"])
        yield torch.from_numpy(np.asarray(item.states[: n - n % step], np.float32))


def _silence_additions(bottleneck: Bottleneck) -> None:
    """MLP and blocks add nothing yet; positions do not, either."""
    model = bottleneck.model
    added = [model.mlp.fc2]
    for block in model.blocks:
        assert isinstance(block, RotaryBlock)
        added += [block.fc2, block.self_attn.out_proj]
    for linear in added:
        linear.weight.zero_()
        linear.bias.zero_()
    model.embed_positions.weight.zero_()
    if hasattr(model, "downsample_conv"):  # added to a code's first state, it makes their mean
        conv, width = model.downsample_conv, bottleneck.settings.width
        taps = conv.weight.shape[-1]
        conv.weight.zero_()
        if conv.bias is not None:
            conv.bias.zero_()
        heard = range(1, min(taps, 1 + bottleneck.settings.downsample))
        for tap in heard:
            conv.weight[range(width), range(width), tap] = 1 / len(heard) - (tap == 1)


def _start_level(bottleneck: Bottleneck, number: int, features: Tensor, seed: int) -> Tensor:
    """One level's projections and rows; returns what it makes of the features [n, width]."""
    level, book = bottleneck.levels[number], bottleneck.books[number]
    d = level.project_in.weight.shape[0] - isinstance(book, FSQ)
    centre = features.mean(0)
    directions = _main_directions(features - centre, d)
    if isinstance(book, VectorQuantize):
        level.project_in.weight.copy_(directions)
        level.project_in.bias.copy_(-directions @ centre)
        points = F.normalize(level.project_in(features), dim=-1)
        rows = kmeans(points, bottleneck.settings.codes, seed=seed)
        if bottleneck.settings.mask_is_code:
            rows = torch.cat([rows, rows.mean(0, keepdim=True)])
        set_codebook(book, rows, uses=1.0)
        bottleneck.own_mask_row.data.copy_(F.normalize(rows.mean(0), dim=-1))
        chosen = codebook_rows(book)[_nearest(points, codebook_rows(book))]
    else:
        assert isinstance(book, FSQ)
        half = book._levels.to(features) / 2
        spread = ((features - centre) @ directions.T).std(0).clamp(min=1e-6)
        scale = (half / (2 * spread))[:, None] * directions
        level.project_in.weight[:-1] = scale
        level.project_in.bias[:-1] = -scale @ centre
        low, high = -(book._levels // 2), (book._levels - 1) // 2
        points = level.project_in(features)[:, :-1]
        chosen = lifted(torch.minimum(torch.maximum(points, low), high).round())
        bottleneck.own_mask_row.data.copy_(lifted(torch.zeros(1, d))[0])
    return _fit(level.project_out, chosen, features)


def _nearest(points: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([(part @ rows.T).argmax(-1) for part in torch.split(points, _CHUNK)])


def _main_directions(centred: Tensor, d: int) -> Tensor:
    """The d directions of the largest variance, [d, width]; what is missing is 0."""
    covariance = centred.T @ centred / max(1, len(centred))
    _, vectors = torch.linalg.eigh(covariance.double())
    found: Tensor = vectors.flip(-1).T[:d].float()
    return F.pad(found, (0, 0, 0, d - len(found)))


def _fit(project_out: torch.nn.Linear, rows: Tensor, features: Tensor) -> Tensor:
    """The projection that brings rows nearest to their features; returns its results."""
    inputs = F.pad(rows, (0, 1), value=1.0).double()
    gram = inputs.T @ inputs + 1e-3 * len(rows) / 1e3 * torch.eye(inputs.shape[1]).double()
    solved = torch.linalg.solve(gram, inputs.T @ features.double()).float()
    project_out.weight.copy_(solved[:-1].T)
    project_out.bias.copy_(solved[-1])
    made: Tensor = project_out(rows)
    return made
