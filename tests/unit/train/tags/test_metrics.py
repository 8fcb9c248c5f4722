import numpy as np
import pytest
import torch

from tercet.evaluate.label_scores import area_under_roc, average_precision, d_prime
from tercet.train.tags.metrics import LabelMetrics


def test_figures_are_those_of_evaluation() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(60, 2)), (rng.random((60, 2)) < 0.3).astype(float)
    logits[:, 0] += targets[:, 0]
    metrics = LabelMetrics(["Dog", "Rain"])
    for part in range(0, 60, 20):
        metrics.update(
            torch.tensor(logits[part : part + 20]), torch.tensor(targets[part : part + 20])
        )
    by_label = metrics.by_label()
    for column, label in enumerate(("Dog", "Rain")):
        scores, heard = logits[:, column], targets[:, column] > 0.5
        auc = area_under_roc(scores, heard)
        expected = (average_precision(scores, heard), auc, d_prime(auc))
        assert pytest.approx(expected, abs=1e-5) == by_label[label]
    assert pytest.approx((by_label["Dog"][0] + by_label["Rain"][0]) / 2) == metrics.summary()["map"]


def test_a_label_that_never_occurs_is_left_out() -> None:
    metrics = LabelMetrics(["Dog", "Rain"])
    metrics.update(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert ["Dog"] == list(metrics.by_label())
    assert 1.0 == metrics.summary()["map"]


def test_reset_forgets() -> None:
    metrics = LabelMetrics(["Dog"])
    metrics.update(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]))
    metrics.reset()
    assert {} == metrics.by_label()
    assert 0.0 == metrics.summary()["map"]
