"""A text decoder being trained on a teacher's labels (`train.task.TrainTask`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tercet.checkpoint.geometry import Geometry
from tercet.decoding.loop import decode
from tercet.decoding.options import DecodeOptions
from tercet.engine.protocol import Projections
from tercet.evaluate.word_errors import Utterance, word_errors
from tercet.model.decoder import TextDecoder
from tercet.model.encoder import AudioEncoder
from tercet.model.engine import TorchDecoder
from tercet.text.tokenizer import Tokenizer
from tercet.train.forced import hidden_of_text
from tercet.train.task import ParameterGroup, Summed, TrainTask
from tercet.train.text.data import unpacked
from tercet.train.text.losses import IGNORED, TextLosses, Weights, text_losses
from tercet.train.text.material import Lesson
from tercet.train.text.recipe import TextRecipe

_MOST_TOKENS = 2  # that are written down, relative to the longest label beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Who takes part. Encoders are there where sound comes as spectrograms."""

    student: TextDecoder
    teacher: TextDecoder | None  # None: there is no divergence
    encoder: AudioEncoder | None = None  # the student's
    teacher_encoder: AudioEncoder | None = None  # None: the student's, which is the same and frozen


class TextTask(TrainTask):
    """Cross-entropy and divergence over labels; word error rates of what the student writes by itself."""

    def __init__(
        self,
        networks: Networks,
        recipe: TextRecipe,
        tokenizer: Tokenizer,
        geometry: Geometry,
        held_out: Sequence[Lesson],
    ) -> None:
        """`geometry` is the student's; `held_out` are validation's windows in their order."""
        super().__init__()
        self.student = networks.student
        self.teacher = networks.teacher
        self.encoder = networks.encoder
        self.teacher_encoder = networks.teacher_encoder
        self._recipe, self._tokenizer, self._geometry = recipe, tokenizer, geometry
        self._held_out = held_out
        loss = recipe.loss
        self._weights = Weights(loss.cross_entropy, loss.divergence, loss.temperature)
        self.frozen_parts = ("teacher", "teacher_encoder")
        if not recipe.learns.encoder:
            self.frozen_parts += ("encoder",)
        self._choose_what_learns()

    def training_step(self, batch: Any, batch_idx: int) -> Summed:
        """The losses of some windows, by token that counts."""
        losses, states = self._losses(batch)
        n = losses.tokens
        total = losses.total
        if states is not None:
            total = total + self._recipe.loss.states * states
            self.log("states", states / max(1, n), n)
        self.log("cross_entropy", losses.cross_entropy / max(1, n), n)
        if self.teacher is not None:
            self.log("divergence", losses.divergence / max(1, n), n)
            self.log("agreement", losses.agreed / max(1, n), n)
        return Summed(total, n)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Losses at the recipe's temperature, and words of the first windows."""
        losses, _ = self._losses(batch)
        n = losses.tokens
        self.log("loss", losses.total / max(1, n), n)
        self.log("cross_entropy", losses.cross_entropy / max(1, n), n)
        if self.teacher is not None:
            self.log("divergence", losses.divergence / max(1, n), n)
            self.log("agreement", losses.agreed / max(1, n), n)
        self._write_down(batch)

    def score(self, metrics: Mapping[str, float]) -> float:
        """Fewer word errors are better; without any, a lower loss."""
        return -metrics.get("wer", metrics["loss"])

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """What learns; matrices decay, embeddings, norms and biases do not."""
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for module in self.modules():
            for value in module.parameters(recurse=False):
                if value.requires_grad:
                    decays = isinstance(module, nn.Linear | nn.Conv1d) and value.ndim > 1
                    (decayed if decays else plain).append(value)
        return [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]

    def _choose_what_learns(self) -> None:
        learns = self._recipe.learns
        for part in (self.teacher, self.teacher_encoder, self.encoder):
            if part is not None:
                part.requires_grad_(False).eval()
        if self.encoder is not None and learns.encoder:
            self.encoder.requires_grad_(True)
            self.encoder.embed_positions.requires_grad_(False)  # sinusoids
        self.student.requires_grad_(True)
        self.student.embed_tokens.requires_grad_(learns.embeddings)
        self.student.embed_positions.requires_grad_(learns.positions)
        for block in self.student.blocks:
            block.encoder_attn.k_proj.requires_grad_(learns.cross_keys_values)
            block.encoder_attn.v_proj.requires_grad_(learns.cross_keys_values)

    def _losses(self, batch: Any) -> tuple[TextLosses, Tensor | None]:
        """The losses, and the distance of the blocks' outputs where it counts."""
        given = unpacked(batch)
        heard, teachers = self._states(given.sound)
        wants_outputs = self._recipe.loss.states > 0 and self.teacher is not None
        outputs: list[Tensor] | None = [] if wants_outputs else None
        hidden = hidden_of_text(
            self.student,
            given.inputs,
            heard,
            dropout=self._recipe.learns.dropout,
            outputs=outputs,
            recompute=self._recipe.recompute and torch.is_grad_enabled(),
        )
        guides: list[Tensor] | None = [] if wants_outputs else None
        guide: Tensor | None = None
        table: Tensor | None = None
        if self.teacher is not None:
            with torch.no_grad():
                guide = hidden_of_text(self.teacher, given.inputs, teachers, outputs=guides)
            table = self.teacher.embed_tokens.weight
        losses = text_losses(
            hidden, guide, self.student.embed_tokens.weight, table, given.targets, self._weights
        )
        if outputs is None or guides is None:
            return losses, None
        return losses, _distance(outputs, guides, given.targets != IGNORED)

    def _states(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """The student's states and the teacher's, [B, positions, width]."""
        if self.encoder is None:  # they were heard before
            return sound, sound
        if self._recipe.learns.encoder:
            heard = self.encoder(sound)
        else:
            with torch.no_grad():
                heard = self.encoder(sound)
        if self.teacher_encoder is None:
            return heard, heard
        with torch.no_grad():
            return heard, self.teacher_encoder(sound)

    def _write_down(self, batch: Any) -> None:
        """Word errors of the student's own greedy text, for the windows that are to be written down."""
        given = unpacked(batch)
        wanted = [
            row for row, n in enumerate(given.numbers.tolist()) if n < self._recipe.valid_words
        ]
        if not wanted:
            return
        lessons = [self._held_out[int(given.numbers[row])] for row in wanted]
        states, _ = self._states(given.sound[wanted])
        decoder = TorchDecoder(self.student, self._geometry)
        languages = [each.label.language for each in lessons]
        decoded = decode(
            decoder,
            Projections(decoder, [np.asarray(each.float().cpu()) for each in states]),
            self._tokenizer,
            # A student that has learnt little goes on for ever; what it should say is not so long.
            DecodeOptions(
                without_timestamps=True,
                task=lessons[0].task,
                max_tokens=_MOST_TOKENS * max(len(each.label.text_ids) for each in lessons),
            ),
            languages=languages,
        )
        said = [_said(each) for each in lessons]
        pairs = [
            Utterance(text, each.text, language)
            for text, each, language in zip(said, decoded, languages, strict=True)
        ]
        errors = word_errors(pairs)
        if errors.words:
            self.log("wer", errors.rate, errors.words)


def _said(lesson: Lesson) -> str:
    """What a window is judged by: its reference, else the teacher's text."""
    label = lesson.label
    is_own = label.reference is not None and label.reference_of == "window"
    return label.reference or "" if is_own else label.text


def _distance(outputs: Sequence[Tensor], guides: Sequence[Tensor], counts: Tensor) -> Tensor:
    """Mean squared distance of blocks' outputs, summed over positions that count.

    A student's block is compared with the last one of the teacher's blocks that it stands for: of six, the
    third and the sixth for a student of two (Distil-Whisper's Flax code).
    """
    share = len(guides) / len(outputs)
    total = torch.zeros((), device=counts.device)
    for number, output in enumerate(outputs, start=1):
        guide = guides[round(number * share) - 1]
        total = total + (output.float() - guide.float()).square().mean(-1)[counts].sum()
    return total / len(outputs)
