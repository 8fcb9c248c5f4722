import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tercet.evaluate.label_scores import area_under_roc, average_precision, d_prime


@pytest.mark.parametrize("seed", range(8))
def test_numbers_are_scikit_learns_with_ties_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=50), 1 if seed % 2 else 6)
    heard = rng.random(50) < 0.3
    heard[0], heard[1] = True, False
    assert pytest.approx(average_precision_score(heard, scores)) == average_precision(scores, heard)
    assert pytest.approx(roc_auc_score(heard, scores)) == area_under_roc(scores, heard)


def test_d_prime_is_root_2_times_the_normal_quantile() -> None:
    assert pytest.approx(0.0) == d_prime(0.5)
    assert pytest.approx(2.481, abs=0.01) == d_prime(0.9603)  # Whisper-AT's log of base
    assert np.isfinite(d_prime(1.0))
