"""What a student of text learns from: cross-entropy with the teacher's text, divergence from its expectation.

The vocabulary is large and both networks' logits are as wide as it is, so they are made for a few positions
at a time and never kept: the gradient of each part is computed while its logits are there.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # a target that does not count
ROWS = 64  # positions whose logits exist at the same time


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
        grad_hidden = torch.zeros_like(student) if wants_hidden else None
        grad_table = torch.zeros_like(student_table, dtype=torch.float32) if wants_table else None
        sums = torch.zeros(4, dtype=torch.float32, device=student.device)
        for at in range(0, len(student), rows):
            part = slice(at, at + rows)
            hidden = student[part].to(kind)
            logits = F.linear(hidden, table).float()
            guide = None
            if teacher is not None and guide_table is not None:
                guide = F.linear(teacher[part].to(kind), guide_table).float()
            values, gradient = _of_logits(
                logits, guide, targets[part], weights, wants=wants_hidden or wants_table
            )
            sums += values
            if gradient is not None:
                gradient = gradient.to(kind)
                if grad_hidden is not None:
                    grad_hidden[part] = (gradient @ table).to(grad_hidden.dtype)
                if grad_table is not None:
                    grad_table += (gradient.T @ hidden).float()
        ctx.save_for_backward(grad_hidden, grad_table)
        ctx.table_kind = student_table.dtype
        total, ce, kl, agreed = sums.unbind()
        ctx.mark_non_differentiable(ce, kl, agreed)
        return total, ce, kl, agreed

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream[0]
        grad_hidden, grad_table = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * scale.to(grad_hidden.dtype),
            None,
            None if grad_table is None else (grad_table * scale).to(ctx.table_kind),
            None,
            None,
            None,
            None,
        )


def _of_logits(
    logits: Tensor, guide: Tensor | None, targets: Tensor, weights: Weights, *, wants: bool
) -> tuple[Tensor, Tensor | None]:
    """Sums (total, cross-entropy, divergence, agreement) of some positions, and d total / d logits."""
    log_q = logits.log_softmax(-1)
    ce = F.nll_loss(log_q, targets, reduction="sum")
    kl = agreed = torch.zeros_like(ce)
    gradient: Tensor | None = None
    if wants and weights.cross_entropy:
        gradient = log_q.exp()
        gradient[torch.arange(len(targets), device=targets.device), targets] -= 1
        gradient *= weights.cross_entropy
    if guide is not None:
        heat = weights.temperature
        agreed = (logits.argmax(-1) == guide.argmax(-1)).sum().float()
        log_p_hot = (guide / heat).log_softmax(-1)
        log_q_hot = log_q if heat == 1 else (logits / heat).log_softmax(-1)
        p_hot = log_p_hot.exp()
        kl = heat * heat * (p_hot * (log_p_hot - log_q_hot)).sum()
        if wants:
            drawn = (log_q_hot.exp() - p_hot) * (weights.divergence * heat)
            gradient = drawn if gradient is None else gradient.add_(drawn)
    total = weights.cross_entropy * ce + weights.divergence * kl
    return torch.stack([total, ce, kl, agreed]), gradient


def _arithmetic(hidden: Tensor) -> torch.dtype:
    """What products are computed in: autocast's type where it is on."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype
