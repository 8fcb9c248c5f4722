"""Figures of windows with labels: average precision, area under ROC, d-prime, by label (torchmetrics).

Figures of events are in `evaluate.event_scores`, which needs no torch.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from tercet.evaluate.label_scores import d_prime

_HEARD = 0.5  # a target from which a label counts as heard


class LabelMetrics(nn.Module):
    """Gathers windows, then judges each label. Not saved with the network."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self._labels = tuple(labels)
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def reset(self) -> None:
        """Forget all windows."""
        self._logits.clear()
        self._targets.clear()

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add windows: logits and targets (0..1) [B, labels]."""
        self._logits.append(logits.detach().float().cpu())
        self._targets.append(targets.detach().float().cpu() > _HEARD)

    def by_label(self) -> dict[str, tuple[float, float, float]]:
        """(average precision, AUC, d-prime) of each label that is heard in some windows, not in all."""
        if not self._logits:
            return {}
        logits, targets = torch.cat(self._logits), torch.cat(self._targets)
        found = {}
        for column, label in enumerate(self._labels):
            heard = targets[:, column]
            if heard.any() and not heard.all():
                scores, truth = logits[:, column].double().sigmoid(), heard.long()
                precision = float(binary_average_precision(scores, truth))
                auc = float(binary_auroc(scores, truth))
                found[label] = (precision, auc, d_prime(auc))
        return found

    def summary(self) -> Mapping[str, float]:
        """Means over those labels; d-prime is of the mean AUC, as in Whisper-AT. 0.0 where there is none."""
        figures = list(self.by_label().values())
        if not figures:
            return {"map": 0.0, "auc": 0.0, "d_prime": 0.0}
        precision = sum(each[0] for each in figures) / len(figures)
        auc = sum(each[1] for each in figures) / len(figures)
        return {"map": precision, "auc": auc, "d_prime": d_prime(auc)}
