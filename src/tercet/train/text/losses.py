"""What a student of text learns from: cross-entropy with the teacher's text, divergence from its expectation.

The vocabulary is large and both networks' logits are as wide as it is, so they are made for a few positions
at a time and never kept: the gradient of each part is computed while its logits are there.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from tercet.train.text.logits import Buffers, Softmax

IGNORED = -100  # a target that does not count
ROWS = 128  # positions whose logits exist at the same time


class Weights(NamedTuple):
    """Of the losses of one position."""

    cross_entropy: float
    divergence: float
    temperature: float


class TextLosses(NamedTuple):
    """Sums over the positions that count. Gradients flow from `total` alone."""

    total: Tensor
    cross_entropy: Tensor  # of the student, temperature 1
    divergence: Tensor  # KL(teacher || student) at the temperature, times its square
    agreed: Tensor  # positions where both find the same id the likeliest
    tokens: int  # positions that count


def text_losses(
    student: Tensor,
    teacher: Tensor | None,
    student_table: Tensor,
    teacher_table: Tensor | None,
    targets: Tensor,
    weights: Weights,
    *,
    rows: int = ROWS,
) -> TextLosses:
    """Distil-Whisper's losses (arXiv:2311.00430, sec. 4), summed over positions.

    `cross_entropy` x CE(student, target) + `divergence` x T^2 x KL(teacher at T || student at T). The paper
    swaps the two weights; 0.8 and 1.0 are what its code used.

    Args:
        student: Hidden states [.., width], with gradient.
        teacher: Hidden states [.., width of the teacher], without; None where there is no divergence.
        student_table: The student's token embedding [vocabulary, width].
        teacher_table: The teacher's.
        targets: int64 [..], `IGNORED` where nothing is asked for.
        weights: Of the losses.
        rows: How many positions' logits exist at the same time; changes memory, not results.
    """
    counts = targets.reshape(-1) != IGNORED
    chosen = student.reshape(-1, student.shape[-1])[counts]
    wanted = targets.reshape(-1)[counts]
    guide = None
    if teacher is not None and weights.divergence:
        guide = teacher.reshape(-1, teacher.shape[-1])[counts].detach()
    total, ce, kl, agreed = _Losses.apply(  # type: ignore[no-untyped-call]
        chosen, guide, student_table, teacher_table, wanted, weights, rows
    )
    return TextLosses(total, ce, kl, agreed, int(counts.sum()))


class _Losses(torch.autograd.Function):
    """Part by part: logits, losses, and the gradients of the student's hidden states and table."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor | None,
        student_table: Tensor,
        teacher_table: Tensor | None,
        targets: Tensor,
        weights: Weights,
        rows: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # needs_input_grad is False for everything under no_grad: nothing is computed in vain.
        wants_hidden, wants_table = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        kind = _arithmetic(student)
        table = student_table.to(kind)
        guide_table = None if teacher_table is None else teacher_table.to(kind)
        grad_hidden = torch.zeros_like(student, dtype=torch.float32) if wants_hidden else None
        grad_table = torch.zeros_like(student_table, dtype=torch.float32) if wants_table else None
        sums = torch.zeros(4, dtype=torch.float32, device=student.device)
        most = min(rows, len(student))
        ours, theirs = (Buffers(most, len(table), student.device) for _ in range(2))
        for at in range(0, len(student), rows):
            part = slice(at, at + rows)
            hidden = student[part].to(kind)
            drawn = Softmax(hidden, table, ours, temperature=weights.temperature)
            guide = None
            if teacher is not None and guide_table is not None:
                seen = teacher[part].to(kind)
                guide = Softmax(seen, guide_table, theirs, temperature=weights.temperature)
            values, squares = _sums(drawn, guide, targets[part], weights)
            sums += values
            if wants_hidden or wants_table:
                shares = _shares(drawn, guide, squares, weights)
                for number, block in enumerate(drawn.blocks):
                    gradient = _gradient(drawn, guide, shares, number, weights).to(kind)
                    if grad_hidden is not None:
                        grad_hidden[part] += gradient @ table[block]
                    if grad_table is not None:
                        grad_table[block] += gradient.T @ hidden
                _take_targets(grad_hidden, grad_table, part, hidden, table, targets[part], weights)
        ctx.save_for_backward(grad_hidden, grad_table)
        ctx.kinds = student.dtype, student_table.dtype
        total, ce, kl, agreed = sums.unbind()
        ctx.mark_non_differentiable(ce, kl, agreed)
        return total, ce, kl, agreed

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream[0]
        grad_hidden, grad_table = ctx.saved_tensors
        kind, table_kind = ctx.kinds
        return (
            None if grad_hidden is None else (grad_hidden * scale).to(kind),
            None,
            None if grad_table is None else (grad_table * scale).to(table_kind),
            None,
            None,
            None,
            None,
        )


def _sums(
    drawn: Softmax, guide: Softmax | None, targets: Tensor, weights: Weights
) -> tuple[Tensor, Tensor]:
    """Sums of some positions; both softmaxes are exponentials afterwards.

    Returns:
        Total, cross-entropy, divergence and agreement; each row's sum of the student's exponentials at
        temperature 1, [rows, 1].
    """
    heat = weights.temperature
    wanted = drawn.value(targets)
    plain = torch.zeros_like(drawn.top)
    apart = torch.zeros_like(drawn.top)  # sum of the teacher's exponentials x (its logit - ours)
    for number, view in enumerate(drawn.views):
        if guide is not None:
            apart -= _pulled(guide, number, view, drawn.top)
        drawn.exponentiate(number)
        plain += _at_one(view, heat)
    ce = (plain.log() - heat * wanted).sum()
    kl = agreed = torch.zeros_like(ce)
    if guide is not None:
        inner = apart / guide.total - guide.total.log() + drawn.total.log()
        kl = heat * heat * inner.sum()
        agreed = (drawn.best == guide.best).sum().float()
    total = weights.cross_entropy * ce + weights.divergence * kl
    return torch.stack([total, ce, kl, agreed]), plain


def _pulled(guide: Softmax, number: int, ours: Tensor, top: Tensor) -> Tensor:
    """Sum over a block of the teacher's exponentials x (our logit - its own), [rows, 1]."""
    apart = ours - guide.views[number]
    apart += guide.top - top
    return _row_products(guide.exponentiate(number), apart)


def _at_one(view: Tensor, heat: float) -> Tensor:
    """Sum of the exponentials of a block at temperature 1, from those at `heat`."""
    if heat == 1:
        return view.sum(-1, keepdim=True)
    if heat == 2:  # the usual one: a square is cheaper than a power
        return _row_products(view, view)
    return view.pow(heat).sum(-1, keepdim=True)


def _row_products(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of rows, [rows, 1]."""
    products: Tensor = torch.linalg.vecdot(left, right)
    return products[:, None]


class _Shares(NamedTuple):
    """What the exponentials are multiplied with, each [rows, 1]."""

    plain: Tensor  # ours at temperature 1
    hot: Tensor  # ours
    guide: Tensor | None  # the teacher's


def _shares(drawn: Softmax, guide: Softmax | None, plain: Tensor, weights: Weights) -> _Shares:
    divergence = weights.divergence * weights.temperature
    return _Shares(
        weights.cross_entropy / plain,
        divergence / drawn.total,
        None if guide is None else divergence / guide.total,
    )


def _gradient(
    drawn: Softmax, guide: Softmax | None, shares: _Shares, number: int, weights: Weights
) -> Tensor:
    """The total's gradient by a block's logits, in the exponentials' place; without the target's -1."""
    view, heat = drawn.views[number], weights.temperature
    if guide is None or shares.guide is None:
        powers = view if heat == 1 else view.square_() if heat == 2 else view.pow_(heat)
        return powers.mul_(shares.plain)
    if heat == 2:
        rising = (view * shares.plain).add_(shares.hot)
        gradient = view.mul_(rising)
    else:
        rising = view.pow(heat).mul_(shares.plain)
        gradient = view.mul_(shares.hot).add_(rising)
    return gradient.addcmul_(guide.views[number], shares.guide, value=-1)


def _take_targets(
    grad_hidden: Tensor | None,
    grad_table: Tensor | None,
    part: slice,
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    weights: Weights,
) -> None:
    """The target's own part of the cross-entropy's gradient: -1 at one id of each row."""
    if grad_hidden is not None:
        grad_hidden[part] -= weights.cross_entropy * table[targets]
    if grad_table is not None:
        grad_table.index_add_(0, targets, hidden.float(), alpha=-weights.cross_entropy)


def _arithmetic(hidden: Tensor) -> torch.dtype:
    """What products are computed in: autocast's type where it is on."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype
