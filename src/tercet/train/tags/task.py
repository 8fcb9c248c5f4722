"""A tag head being trained: binary cross-entropy on windows of taps (`train.task.TrainTask`)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tercet.audio.convention import SHARED, InputConvention
from tercet.checkpoint.heads import HeadArrays, Origin, TagHead
from tercet.model.tag_head import AudioTagger
from tercet.train.tags.metrics import LabelMetrics
from tercet.train.tags.recipe import HeadRecipe
from tercet.train.task import ParameterGroup, TrainTask

_BY_LABEL = ("classifier.proj.weight", "classifier.proj.bias")


class TagTask(TrainTask):
    """Learns to say which labels are heard in a window of taps."""

    def __init__(
        self,
        recipe: HeadRecipe,
        labels: Sequence[str],
        *,
        n_layers: int,
        width: int,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        """A head with random weights.

        Args:
            recipe: Its shape.
            labels: Display names.
            n_layers: Encoder blocks.
            width: The encoder's.
            dropout: Share of the taps' values that a training step zeroes.
            seed: Of the weights.
        """
        super().__init__()
        self.labels = tuple(labels)
        self._recipe = recipe
        self._n_layers, self._width, self._dropout = n_layers, width, dropout
        with torch.random.fork_rng(devices=()):  # the caller's own draws are no concern of ours
            torch.manual_seed(seed)
            self.tagger = AudioTagger(
                layers=recipe.layers,
                n_layers=n_layers,
                width=width,
                hidden=recipe.hidden or width,
                has_projection=bool(recipe.hidden),
                time_heads=recipe.time_heads,
                layer_heads=recipe.layer_heads,
                n_labels=len(self.labels),
            )
        self._metrics = LabelMetrics(self.labels)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The mean loss of windows (`data.collate`)."""
        taps, targets = batch
        if self._dropout:
            taps = F.dropout(taps, self._dropout)
        loss: Tensor = F.binary_cross_entropy_with_logits(self.tagger(taps), targets)
        return loss

    def begin_validation(self) -> None:
        """Forget the last one's windows."""
        self._metrics.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Score windows that nothing was done to."""
        taps, targets = batch
        logits = self.tagger(taps)
        self.log("loss", F.binary_cross_entropy_with_logits(logits, targets), weight=len(taps))
        self._metrics.update(logits, targets)

    def end_validation(self) -> Mapping[str, float]:
        """Macro averages over the labels that occur: mAP, AUC, d-prime."""
        return self._metrics.summary()

    def by_label(self) -> Mapping[str, tuple[float, float, float]]:
        """(average precision, AUC, d-prime) of each label, of the last validation."""
        return self._metrics.by_label()

    def score(self, metrics: Mapping[str, float]) -> float:
        """Mean average precision."""
        return metrics["map"]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Matrices with the recipe's weight decay; biases, norms and the layers' weights without."""
        named = list(self.tagger.named_parameters())
        matrices = [value for _, value in named if value.ndim > 1]
        rest = [value for _, value in named if value.ndim <= 1]
        return [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]

    @torch.no_grad()
    def head(
        self,
        *,
        thresholds: Sequence[float] = (0.5,),
        convention: InputConvention = SHARED,
        origin: Origin | None = None,
        left_out: Collection[str] = (),
    ) -> TagHead:
        """The head as it is now, for a file; without the labels that are left out."""
        kept = [at for at, label in enumerate(self.labels) if label not in left_out]
        values: dict[str, Any] = {
            name: np.array(value.detach().cpu().numpy(), np.float32)
            for name, value in self.tagger.state_dict().items()
        }
        for name in _BY_LABEL:
            values[name] = values[name][kept]
        recipe = self._recipe
        return TagHead(
            layers=recipe.layers,
            n_layers=self._n_layers,
            width=self._width,
            hidden=recipe.hidden or self._width,
            has_projection=bool(recipe.hidden),
            time_heads=recipe.time_heads,
            layer_heads=recipe.layer_heads,
            arrays=HeadArrays(values),
            labels=tuple(self.labels[at] for at in kept),
            window_frames=recipe.window_frames,
            hop_frames=recipe.hop_frames,
            thresholds=tuple(float(each) for each in thresholds),
            convention=convention,
            origin=origin or Origin(),
        )
