"""A text decoder being trained on a teacher's labels (`train.task.TrainTask`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tercet.checkpoint.geometry import Geometry
from tercet.errors import OptionError
from tercet.model.decoder import TextDecoder
from tercet.model.encoder import AudioEncoder
from tercet.model.engine import TorchDecoder
from tercet.text.tokenizer import Tokenizer
from tercet.train.compiling import compiled
from tercet.train.forced import Block, hidden_of_text, through_block
from tercet.train.low_rank import adapt, matrices
from tercet.train.task import ParameterGroup, Summed, TrainTask
from tercet.train.text.data import Batch, unpacked
from tercet.train.text.held_out import HeldOut
from tercet.train.text.losses import IGNORED, TextLosses, Weights, text_losses
from tercet.train.text.recipe import TextRecipe
from tercet.train.text.writing import errors_of, written_down


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Who takes part. Encoders are there where sound comes as spectrograms."""

    student: TextDecoder
    teacher: TextDecoder | None  # None: there is no divergence
    teacher_geometry: Geometry | None = None  # None: nobody asks what it writes by itself
    encoder: AudioEncoder | None = None  # the student's
    teacher_encoder: AudioEncoder | None = (
        None  # None: states are kept, or the student's are the same
    )


class Heard(NamedTuple):
    """States of some windows."""

    states: Tensor  # [B, positions, width]
    own: Tensor | None = None  # bool [B, 1, 1, positions]: which are a window's own; None: all


class Forced(NamedTuple):
    """What student and teacher made of a text that was forced on them."""

    hidden: Tensor  # [B, n, width], with gradient
    guide: Tensor | None  # the teacher's
    distance: Tensor | None  # of their blocks' outputs; None: it does not count


class TextTask(TrainTask):
    """Cross-entropy and divergence over labels; word error rates of what the student writes by itself."""

    has_compiled_parts = has_sharded_parts = True

    def __init__(
        self,
        networks: Networks,
        recipe: TextRecipe,
        tokenizer: Tokenizer,
        geometry: Geometry,
        held_out: HeldOut,
    ) -> None:
        """`geometry` is the student's; `held_out` are validation's windows."""
        super().__init__()
        self.student = networks.student
        self.teacher = networks.teacher
        self.encoder = networks.encoder
        self.teacher_encoder = networks.teacher_encoder
        self._recipe, self._tokenizer, self._geometry = recipe, tokenizer, geometry
        self._held_out = held_out
        self._teacher_geometry = networks.teacher_geometry
        self.measures_start = recipe.before
        self._block: Block = compiled(through_block) if recipe.loop.compile else through_block
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
        given = unpacked(batch)
        forced = self._forced(given)
        losses = self._losses(forced.hidden, forced.guide, given.targets)
        n = losses.tokens
        total = losses.total
        if forced.distance is not None:
            total = total + self._recipe.loss.states * forced.distance
            self.log("states", forced.distance / max(1, n), n)
        self._log_losses(losses)
        return Summed(total, n)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Losses at the recipe's temperature, and words of some windows: of all, by set and by language."""
        given = unpacked(batch)
        forced = self._forced(given)
        for suffixes, rows in self._held_out.alike(given.numbers.tolist()).items():
            guide = None if forced.guide is None else forced.guide[rows]
            losses = self._losses(forced.hidden[rows], guide, given.targets[rows])
            for suffix in suffixes:
                self.log(f"loss{suffix}", losses.total / max(1, losses.tokens), losses.tokens)
                self._log_losses(losses, suffix)
        self._write_down(given)

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

    def sharded_blocks(self) -> Sequence[nn.Module]:
        """The layers of the decoder, and of an encoder that learns."""
        hears = self.encoder is not None and "encoder" not in self.frozen_parts
        layers = list(self.encoder.layers) if self.encoder is not None and hears else []
        return [*layers, *self.student.blocks]

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

    def _forced(self, given: Batch) -> Forced:
        """What student and teacher make of the same text."""
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
            block=self._block,
        )
        guides: list[Tensor] | None = [] if wants_outputs else None
        guide: Tensor | None = None
        if self.teacher is not None:
            with torch.no_grad():
                guide = hidden_of_text(
                    self.teacher,
                    given.inputs,
                    teachers.states,
                    heard=teachers.own,
                    outputs=guides,
                    block=self._block,
                )
        if outputs is None or guides is None:
            return Forced(hidden, guide, None)
        return Forced(hidden, guide, _distance(outputs, guides, given.targets != IGNORED))

    def _losses(self, hidden: Tensor, guide: Tensor | None, targets: Tensor) -> TextLosses:
        table = None if self.teacher is None else self.teacher.embed_tokens.weight
        return text_losses(
            hidden, guide, self.student.embed_tokens.weight, table, targets, self._weights
        )

    def _log_losses(self, losses: TextLosses, suffix: str = "") -> None:
        n = losses.tokens
        self.log(f"cross_entropy{suffix}", losses.cross_entropy / max(1, n), n)
        if self.teacher is not None:
            self.log(f"divergence{suffix}", losses.divergence / max(1, n), n)
            self.log(f"agreement{suffix}", losses.agreed / max(1, n), n)

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

    def _write_down(self, given: Batch) -> None:
        """Errors of the student's own text, for the windows that are written down; once, of its teacher's."""
        numbers = [int(each) for each in given.numbers]
        wanted = [row for row, each in enumerate(numbers) if self._held_out.is_written(each)]
        if not wanted:
            return
        numbers = [numbers[row] for row in wanted]
        heard, teachers = self._heard(Batch(*(each[wanted] for each in given)))
        self._count_errors("", TorchDecoder(self.student, self._geometry), heard, numbers)
        if self.step == 0 and self.teacher is not None and self._teacher_geometry is not None:
            teacher = TorchDecoder(self.teacher, self._teacher_geometry)
            self._count_errors("teacher_", teacher, teachers, numbers)

    def _count_errors(
        self, prefix: str, decoder: TorchDecoder, heard: Heard, numbers: Sequence[int]
    ) -> None:
        own = [slice(None)] * len(numbers) if heard.own is None else heard.own[:, 0, 0]
        windows = [
            np.asarray(each[row].float().cpu()) for each, row in zip(heard.states, own, strict=True)
        ]
        lessons = [self._held_out.lessons[number] for number in numbers]
        texts = written_down(decoder, windows, lessons, self._tokenizer)
        for number, lesson, text in zip(numbers, lessons, texts, strict=True):
            found = errors_of(lesson, text)
            if found is None:
                continue
            for suffix in self._held_out.suffixes(number):
                for unit in ("wer", "cer"):
                    edits = found.edits[unit]
                    self.log(f"{prefix}{unit}{suffix}", edits.errors / edits.size, edits.size)


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
