"""A quantizer being trained against the frozen decoder (`train.task.TrainTask`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tercet.audio.convention import InputConvention
from tercet.checkpoint.heads import Origin, Quantizer
from tercet.train.forced import hidden_of_text, text_logits
from tercet.train.task import ParameterGroup, Summed, TrainTask
from tercet.train.tokens.bottleneck import Bottleneck
from tercet.train.tokens.data import Window, unpacked
from tercet.train.tokens.losses import IGNORED, cross_entropy, divergence, original_losses
from tercet.train.tokens.places import places_of
from tercet.train.tokens.recipe import PhaseRecipe, TokensRecipe

if TYPE_CHECKING:
    from tercet.model.decoder import TextDecoder

_SLOTS = 200  # of the original's labels, padded behind the text


class Student(NamedTuple):
    """What came of one window."""

    logits: Tensor  # float32 [n, vocabulary], at each position of the text
    targets: Tensor  # int64 [n]
    restored: Tensor  # [places, width]
    codes: Tensor  # int64 [codes, depth]
    commitment: Tensor  # mean squared distance, of all windows of the batch


class TokenTask(TrainTask):
    """Learns codes from which the decoder hears what it hears in the sound."""

    frozen_parts = ("decoder",)

    def __init__(
        self, bottleneck: Bottleneck, decoder: "TextDecoder", recipe: TokensRecipe
    ) -> None:
        """`decoder` is frozen here."""
        super().__init__()
        self.bottleneck = bottleneck
        self.decoder = decoder.requires_grad_(False)
        self._recipe = recipe
        self._uses = torch.zeros(bottleneck.settings.depth, bottleneck.settings.codes + 1)
        self._agreed = self._tokens = 0.0

    @property
    def phase(self) -> PhaseRecipe:
        """The losses of the step at hand."""
        return self._recipe.phases[self.phase_number]

    @property
    def phase_number(self) -> int:
        """Which of the recipe's phases the step at hand belongs to."""
        phases = self._recipe.phases
        left = (self.step + 0.5) / max(1, self.total_steps) * sum(each.share for each in phases)
        for number, each in enumerate(phases):
            left -= each.share
            if left < 0:
                return number
        return len(phases) - 1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | Summed:
        """The losses of some windows, by token of their texts."""
        windows = unpacked(batch)
        if self._recipe.match:
            return self._original(windows)
        phase = self.phase
        total, n_tokens = torch.zeros((), device=self.device), 0
        for window, student in zip(windows, self._students(windows), strict=True):
            n = len(student.targets)
            n_tokens += n
            kl = divergence(student.logits, window.expected)
            ce = cross_entropy(student.logits, student.targets)
            total = total + phase.divergence * kl + phase.cross_entropy * ce
            total = total + phase.commitment * student.commitment * n
            if phase.states:
                total = total + phase.states * self._miss(window, student) * n
            self.log("divergence", kl / n, n)
            self.log("cross_entropy", ce / n, n)
            self.log("commitment", student.commitment, n)
        return Summed(total, n_tokens)

    def begin_validation(self) -> None:
        """Forget the last one's codes."""
        self._uses.zero_()
        self._agreed = self._tokens = 0.0

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Divergence, cross-entropy, agreement and codes of some windows."""
        windows = unpacked(batch)
        for window, student in zip(windows, self._students(windows), strict=True):
            n = len(student.targets)
            self.log("loss", divergence(student.logits, window.expected) / n, n)
            self.log("cross_entropy", cross_entropy(student.logits, student.targets) / n, n)
            first = window.expected.ids[:, 0]
            self._agreed += float((student.logits.argmax(-1) == first).sum())
            self._tokens += n
            for level, codes in enumerate(student.codes.T.cpu()):
                self._uses[level] += torch.bincount(codes, minlength=self._uses.shape[1])

    def end_validation(self) -> Mapping[str, float]:
        """Agreement of first choices, and how the first level's codes are used."""
        share = self._uses[0] / self._uses[0].sum().clamp(min=1)
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        return {
            "agreement": self._agreed / max(1.0, self._tokens),
            "codes_used": float((share > 0).sum()),
            "perplexity": float(entropy.exp()),
        }

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All of the bottleneck's, each Linear with its own rate where the recipe says so; matrices decay."""
        by_fan_in = self._recipe.codebook.lr_by_fan_in
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for module in self.bottleneck.modules():
            is_linear, scale = isinstance(module, nn.Linear), 1.0
            if isinstance(module, nn.Linear) and by_fan_in:
                scale = by_fan_in / module.in_features
            for value in module.parameters(recurse=False):
                if value.requires_grad:
                    decays = is_linear and value.ndim > 1
                    groups.setdefault((scale, decays), []).append(value)
        return [
            ParameterGroup(params=params, lr_scale=scale)
            if decays
            else ParameterGroup(params=params, lr_scale=scale, weight_decay=0.0)
            for (scale, decays), params in groups.items()
        ]

    def head(self, *, convention: InputConvention, origin: Origin) -> Quantizer:
        """The quantizer as it is now, for a file."""
        return replace(self.bottleneck.export(origin), convention=convention)

    def _students(self, windows: Sequence[Window]) -> list[Student]:
        """Some windows through codes and decoder; the codebook is searched for all of them at once."""
        settings = self.bottleneck.settings
        step = settings.downsample
        with torch.autocast(self.device.type, enabled=False):  # a rounded distance is another code
            features = [
                self.bottleneck.features(each.states[: each.n_states - each.n_states % step])
                for each in windows
            ]
            quantized = self.bottleneck.quantize(torch.cat(features))
        sizes = [len(each) for each in features]
        found = []
        for window, rows, codes in zip(
            windows,
            torch.split(quantized.rows, sizes),
            torch.split(quantized.codes, sizes),
            strict=True,
        ):
            places = places_of(
                len(rows) * step, positions=settings.positions, thin=self._recipe.thin
            ).to(self.device)
            restored = self.bottleneck.restore(rows, places)
            hidden = hidden_of_text(self.decoder, window.ids[:-1], restored, places)
            logits = text_logits(self.decoder, hidden[window.n_prompt - 1 :])
            targets = window.ids[window.n_prompt :]
            found.append(Student(logits, targets, restored, codes, quantized.commitment))
        return found

    def _miss(self, window: Window, student: Student) -> Tensor:
        """Mean squared distance of the restored states from the encoder's, where there is sound."""
        n = len(student.codes) * self.bottleneck.settings.downsample
        return (student.restored[:n].float() - window.states[:n]).square().mean()

    def _original(self, windows: Sequence[Window]) -> Tensor:
        """Ichigo's losses: a mean over the batch, its labels in 200 slots."""
        states = torch.stack([each.states for each in windows])
        is_sound = torch.arange(states.shape[1], device=self.device)[None] < torch.tensor(
            [[each.n_states] for each in windows], device=self.device
        )
        inputs = torch.full((len(windows), _SLOTS), int(windows[0].ids[-1]), device=self.device)
        targets = torch.full_like(inputs, IGNORED)
        for row, each in enumerate(windows):
            ids = each.ids[: _SLOTS + 1]
            inputs[row, : len(ids) - 1] = ids[:-1]
            targets[row, each.n_prompt - 1 : len(ids) - 1] = ids[each.n_prompt :]
        phase = 1 if self.phase.divergence else 2
        losses = original_losses(
            self.bottleneck, self.decoder, states, is_sound, inputs, targets, phase=phase
        )
        self.log("divergence", losses.divergence)
        self.log("cross_entropy", losses.cross_entropy)
        self.log("commitment", losses.commitment)
        return losses.total
