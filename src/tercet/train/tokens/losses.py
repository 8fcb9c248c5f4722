"""What trains a quantizer: cross-entropy, divergence from the teacher, commitment; never padding.

`original_losses` is Ichigo-Whisper's, padding and all (`match="ichigo"`). The network is elsewhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tercet.model.decoder import TextDecoder
from tercet.train.forced import hidden_of_text, text_logits
from tercet.train.tokens.bottleneck import Bottleneck
from tercet.train.tokens.places import places_of

IGNORED = -100  # a target that does not count


@dataclass(frozen=True, slots=True)
class Expected:
    """What the teacher expects at each position of a text: its likeliest ids, and how likely they are."""

    ids: (
        Tensor  # int64 [n, k], likeliest first; -1 where an id is not among those that are computed
    )
    log_p: Tensor  # float32 [n, k]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over the positions whose target counts: `logits` [.., V], `targets` int64 [..]."""
    flat = logits.reshape(-1, logits.shape[-1])
    return F.cross_entropy(flat, targets.reshape(-1), ignore_index=IGNORED, reduction="sum")


def divergence(logits: Tensor, expected: Expected) -> Tensor:
    """KL(teacher || student) over the teacher's likeliest ids, summed over positions.

    Differs from Ichigo: only positions of the text are there. Its teacher is uniform over the vocabulary at
    padding, which made three quarters of the loss in the case that pins `original_losses`.
    """
    log_q = logits.log_softmax(-1).gather(-1, expected.ids.clamp(min=0))
    terms = expected.log_p.exp() * (expected.log_p - log_q)
    return terms.masked_fill(expected.ids < 0, 0).sum()


class OriginalLosses(NamedTuple):
    """Ichigo-Whisper's losses of one step, scalars."""

    total: Tensor
    cross_entropy: Tensor
    divergence: Tensor
    commitment: Tensor
    logits: Tensor  # [B, n, V]


def original_losses(
    bottleneck: Bottleneck,
    decoder: TextDecoder,
    states: Tensor,
    is_sound: Tensor,
    inputs: Tensor,
    targets: Tensor,
    *,
    phase: int,
) -> OriginalLosses:
    """Ichigo-Whisper's training step, to the letter.

    Padding is quantized with the sound, moves the codebook and counts in the commitment; where the text is
    padded, the student is drawn to a teacher that finds all words equally likely; the divergence is divided
    by the batch alone.

    Args:
        bottleneck: With `mask_is_code`: its last row stands for padding and is searched like any other.
        decoder: Frozen.
        states: [B, positions, width].
        is_sound: bool [B, positions].
        inputs: int64 [B, n].
        targets: int64 [B, n], -100 where nothing is asked for.
        phase: 1 with the divergence, 2 without.
    """
    batch, positions, _ = states.shape
    with torch.no_grad():
        teacher = text_logits(decoder, hidden_of_text(decoder, inputs, states))
        teacher = teacher.masked_fill((targets == IGNORED)[:, :, None], 0)
    features = torch.stack([bottleneck.features(each) for each in states])
    quantized = bottleneck.quantize(features.flatten(0, 1))
    everywhere = places_of(positions, positions=positions, thin=1)
    restored = [
        bottleneck.restore(rows, everywhere, is_sound=sound)
        for rows, sound in zip(quantized.rows.chunk(batch), is_sound, strict=True)
    ]
    logits = text_logits(decoder, hidden_of_text(decoder, inputs, torch.stack(restored)))
    ce = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    kl = torch.zeros_like(ce)
    if phase == 1:
        log_q, p = logits.log_softmax(-1), teacher.softmax(-1)
        kl = F.kl_div(log_q, p, reduction="batchmean")
    return OriginalLosses(ce + kl + quantized.commitment, ce, kl, quantized.commitment, logits)
