"""A space of lower rank in which logits are nearly what they are: where a draft looks for candidates."""

import torch
from torch import Tensor


def narrowing(rows: Tensor, moment: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The projections that keep most of the logits `rows @ h` of hidden states like those that were seen.

    Of all pairs the one with the least squared error of `rows @ widen @ narrow @ h`, on average over hidden
    states with this second moment: with W its rows and C the moment, the right singular vectors of W C^(1/2).

    Args:
        rows: Embeddings, [tokens, width].
        moment: The mean of h h^T, [width, width].
        rank: Of the space, at most the width.

    Returns:
        `narrow` float32 [rank, width] and `widen` float32 [width, rank].
    """
    table, seen = rows.double().cpu(), moment.double().cpu()
    width = len(seen)
    # Directions that hidden states never took have no scale of their own: they are given a small one.
    seen = seen + 1e-6 * seen.diagonal().mean() * torch.eye(width, dtype=seen.dtype)
    values, vectors = torch.linalg.eigh(seen)
    root = vectors * values.sqrt() @ vectors.T
    inverse = vectors / values.sqrt() @ vectors.T
    _, main = torch.linalg.eigh(root @ (table.T @ table) @ root)
    best = main.flip(1)[:, :rank]
    return (best.T @ inverse).float(), (root @ best).float()
