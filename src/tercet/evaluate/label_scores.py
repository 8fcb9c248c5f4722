"""How well scores tell recordings with a label from those without: average precision, AUC, d-prime.

Plain NumPy, so that evaluating needs neither torch nor scikit-learn, whose numbers these are.
"""

from statistics import NormalDist

import numpy as np


def average_precision(scores: np.ndarray, heard: np.ndarray) -> float:
    """The mean over thresholds of precision, weighted by the gain in recall, as scikit-learn computes it.

    Args:
        scores: Float [n].
        heard: Bool [n], at least one of them true.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, truth = scores[order], heard[order].astype(np.float64)
    last_of_ties = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    hits = np.cumsum(truth)[last_of_ties]
    precision = hits / (last_of_ties + 1)
    gains = np.diff(np.concatenate([[0.0], hits])) / hits[-1]
    return float((precision * gains).sum())


def area_under_roc(scores: np.ndarray, heard: np.ndarray) -> float:
    """The chance that a recording with the label scores higher than one without; ties count half.

    Args:
        scores: Float [n].
        heard: Bool [n], some true and some false.
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    mean_rank = (upto - counts + upto + 1) / 2  # of each value, from 1
    with_label = int(heard.sum())
    without = heard.size - with_label
    rank_sum = mean_rank[places[heard]].sum()
    return float((rank_sum - with_label * (with_label + 1) / 2) / (with_label * without))


def d_prime(auc: float) -> float:
    """How far apart two normal distributions of one spread lie that have this AUC (0..1)."""
    inside = min(max(auc, 1e-9), 1 - 1e-9)
    return float(2**0.5 * NormalDist().inv_cdf(inside))
