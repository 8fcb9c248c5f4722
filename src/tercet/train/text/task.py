"""A text decoder being trained on a teacher's labels (`train.task.TrainTask`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.geometry import Geometry
from tercet.decoding.loop import decode
from tercet.decoding.options import DecodeOptions
from tercet.engine.protocol import Projections
from tercet.errors import OptionError
from tercet.evaluate.word_errors import Utterance, word_errors
from tercet.model.decoder import TextDecoder
from tercet.model.encoder import AudioEncoder
from tercet.model.engine import TorchDecoder
from tercet.text.tokenizer import Tokenizer
from tercet.train.forced import hidden_of_text
from tercet.train.low_rank import adapt, matrices
from tercet.train.task import ParameterGroup, Summed, TrainTask
from tercet.train.text.data import Batch, unpacked
from tercet.train.text.losses import IGNORED, TextLosses, Weights, text_losses
from tercet.train.text.material import Lesson, own_reference
from tercet.train.text.recipe import TextRecipe

_MOST_TOKENS = 2  # that are written down, relative to the longest label beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Who takes part. Encoders are there where sound comes as spectrograms."""

    student: TextDecoder
    teacher: TextDecoder | None  # None: there is no divergence
    encoder: AudioEncoder | None = None  # the student's
    teacher_encoder: AudioEncoder | None = (
        None  # None: states are kept, or the student's are the same
    )


class Heard(NamedTuple):
    """States of some windows."""

    states: Tensor  # [B, positions, width]
    own: Tensor | None = None  # bool [B, 1, 1, positions]: which are a window's own; None: all


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
        if not recipe.changes_encoder:
            self.frozen_parts += ("encoder",)
        self._choose_what_learns()
        if recipe.adapter.rank:
            self._adapt()

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

    def adapters(self) -> dict[str, tuple[Tensor, Tensor]]:
        """A and B of every adapted layer, by its name in a checkpoint; {} where there is no adapter."""
        parts: tuple[tuple[str, nn.Module | None], ...] = (
            ("model.encoder", self.encoder),
            ("model.decoder", self.student),
        )
        return {
            f"{prefix}.{name}": pair
            for prefix, part in parts
            if part is not None
            for name, pair in matrices(part).items()
        }

    def _is_frozen(self, name: str) -> bool:
        is_adapted = bool(self._recipe.adapter.rank)
        return super()._is_frozen(name) or (is_adapted and ".lora_" not in name)

    def _adapt(self) -> None:
        recipe = self._recipe.adapter
        parts: tuple[tuple[bool, nn.Module | None], ...] = (
            (recipe.encoder, self.encoder),
            (recipe.decoder, self.student),
        )
        self.student.requires_grad_(False)
        found = [
            adapt(
                part,
                recipe.modules,
                rank=recipe.rank,
                alpha=recipe.scaled_by,
                dropout=recipe.dropout,
                seed=self._recipe.loop.seed,
            )
            for is_adapted, part in parts
            if is_adapted and part is not None
        ]
        if not any(found):
            raise OptionError(
                f"adapter.modules: no layer is called {' or '.join(recipe.modules)}; give q_proj, k_proj, "
                "v_proj, out_proj, fc1, fc2"
            )

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
        heard, teachers = self._heard(given)
        wants_outputs = self._recipe.loss.states > 0 and self.teacher is not None
        outputs: list[Tensor] | None = [] if wants_outputs else None
        hidden = hidden_of_text(
            self.student,
            given.inputs,
            heard.states,
            heard=heard.own,
            dropout=self._recipe.learns.dropout,
            outputs=outputs,
            recompute=self._recipe.recompute and torch.is_grad_enabled(),
        )
        guides: list[Tensor] | None = [] if wants_outputs else None
        guide: Tensor | None = None
        table: Tensor | None = None
        if self.teacher is not None:
            with torch.no_grad():
                guide = hidden_of_text(
                    self.teacher, given.inputs, teachers.states, heard=teachers.own, outputs=guides
                )
            table = self.teacher.embed_tokens.weight
        losses = text_losses(
            hidden, guide, self.student.embed_tokens.weight, table, given.targets, self._weights
        )
        if outputs is None or guides is None:
            return losses, None
        return losses, _distance(outputs, guides, given.targets != IGNORED)

    def _heard(self, given: Batch) -> tuple[Heard, Heard]:
        """What the student hears, and what its teacher."""
        kept = Heard(given.states)
        if self.encoder is None:
            return kept, kept
        with torch.set_grad_enabled(self._recipe.changes_encoder and torch.is_grad_enabled()):
            heard = self._encoded(self.encoder, given)
        if given.states.numel():
            return heard, kept
        if self.teacher_encoder is None:
            return heard, heard
        room = 2 * self.teacher_encoder.embed_positions.num_embeddings
        with torch.no_grad():
            padded = F.pad(given.mel, (0, room - given.mel.shape[2]))
            return heard, Heard(self.teacher_encoder(padded))

    def _encoded(self, encoder: AudioEncoder, given: Batch) -> Heard:
        """States of the sound that the student hears: each window at its own length, one by one."""
        if self._recipe.data.length == "30s":
            return Heard(encoder(given.mel))
        lengths = given.lengths.tolist()
        windows = [
            encoder(mel[None, :, :columns])[0]
            for mel, columns in zip(given.mel, lengths, strict=True)
        ]
        states = nn.utils.rnn.pad_sequence(windows, batch_first=True)
        positions = torch.arange(states.shape[1], device=states.device)
        own = (
            positions < torch.tensor([len(each) for each in windows], device=states.device)[:, None]
        )
        return Heard(states, own[:, None, None])

    def _write_down(self, batch: Any) -> None:
        """Word errors of the student's own greedy text, for the windows that are to be written down."""
        given = unpacked(batch)
        wanted = [
            row for row, n in enumerate(given.numbers.tolist()) if n < self._recipe.valid_words
        ]
        if not wanted:
            return
        lessons = [self._held_out[int(given.numbers[row])] for row in wanted]
        heard, _ = self._heard(Batch(*(each[wanted] for each in given)))
        own = [slice(None)] * len(wanted) if heard.own is None else heard.own[:, 0, 0]
        windows = [
            np.asarray(each[row].float().cpu()) for each, row in zip(heard.states, own, strict=True)
        ]
        decoder = TorchDecoder(self.student, self._geometry)
        languages = [each.label.language for each in lessons]
        decoded = decode(
            decoder,
            Projections(decoder, windows),
            self._tokenizer,
            # A student that has learnt little goes on for ever; what it should say is not so long.
            DecodeOptions(
                without_timestamps=True,
                task=lessons[0].task,
                max_tokens=_MOST_TOKENS * max(len(each.text_ids) for each in lessons),
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
    reference = own_reference(lesson.label)
    return lesson.label.text if reference is None else reference


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
