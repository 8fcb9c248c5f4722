"""A linear probe: logistic regression over several classes, on standardised features. Plain NumPy.

No chance is involved: the loss is convex, and L-BFGS starts from zeros. Whisper-AT's probe is the same model
(scikit-learn's `MLPClassifier` without hidden layers behind a `StandardScaler`), fitted by Adam.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MEMORY = 10  # steps that L-BFGS remembers
_MOST_STEPS = 500
_FLAT = 1e-6  # largest slope at which the fit is done
_SUFFICIENT = 1e-4  # of the promised decrease (Armijo)
Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]  # parameters -> loss, gradient


@dataclass(frozen=True, slots=True, eq=False)
class LinearProbe:
    """A fitted probe."""

    mean: np.ndarray  # float64 [width], of the features it was fitted on
    scale: np.ndarray  # float64 [width]
    weight: np.ndarray  # float64 [width, classes]
    bias: np.ndarray  # float64 [classes]

    def classes_of(self, features: np.ndarray) -> np.ndarray:
        """The likeliest class of each row of `features` [n, width]: int64 [n]."""
        scores = (features - self.mean) / self.scale @ self.weight + self.bias
        found: np.ndarray = scores.argmax(axis=1)
        return found


def fit_probe(
    features: np.ndarray, classes: np.ndarray, n_classes: int, *, l2: float
) -> LinearProbe:
    """Fit a probe: the mean cross-entropy, and `l2` / 2 times the sum of all squared weights.

    Args:
        features: Float [n, width].
        classes: Integers [n], from 0 to `n_classes` - 1.
        n_classes: How many there are, those without a row among them.
        l2: More than 0, so that there is one best answer.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)  # what never changes tells nothing
    rows = (features - mean) / scale
    truth = np.eye(n_classes)[classes]
    n, width = rows.shape

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weight = parameters[:-n_classes].reshape(width, n_classes)
        scores = rows @ weight + parameters[-n_classes:]
        scores -= scores.max(axis=1, keepdims=True)
        log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        error = (np.exp(log_shares) - truth) / n
        slope = np.concatenate([(rows.T @ error + l2 * weight).ravel(), error.sum(axis=0)])
        value = -(truth * log_shares).sum() / n + 0.5 * l2 * np.square(weight).sum()
        return float(value), slope

    best = minimised(loss, np.zeros((width + 1) * n_classes))
    weight = best[:-n_classes].reshape(width, n_classes)
    return LinearProbe(mean, scale, weight, best[-n_classes:])


def minimised(loss: Loss, start: np.ndarray) -> np.ndarray:
    """Where a smooth convex function is least, by L-BFGS with steps halved until they help enough.

    Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1.
    """
    here, (value, slope) = start, loss(start)
    moves: list[tuple[np.ndarray, np.ndarray, float]] = []
    for _ in range(_MOST_STEPS):
        if np.abs(slope).max() <= _FLAT:
            break
        direction = -_times_inverse_curvature(slope, moves)
        promised = float(direction @ slope)
        step = 1.0 if moves else min(1.0, 1.0 / float(np.abs(slope).sum()))
        while True:
            there = here + step * direction
            new_value, new_slope = loss(there)
            if new_value <= value + _SUFFICIENT * step * promised:
                break
            step /= 2
            if step < 1e-12:  # as flat as numbers of this size can tell
                return here
        change, bend = there - here, new_slope - slope
        if (curvature := float(change @ bend)) > 1e-12 * float(bend @ bend):
            moves = [*moves[-_MEMORY + 1 :], (change, bend, curvature)]
        here, value, slope = there, new_value, new_slope
    return here


def _times_inverse_curvature(
    slope: np.ndarray, moves: list[tuple[np.ndarray, np.ndarray, float]]
) -> np.ndarray:
    """The slope, turned and scaled by what the last moves told of the curvature (two loops)."""
    turned, shares = slope.copy(), []
    for change, bend, curvature in reversed(moves):
        share = float(change @ turned) / curvature
        shares.append(share)
        turned -= share * bend
    if moves:
        _, bend, curvature = moves[-1]
        turned *= curvature / float(bend @ bend)
    for (change, bend, curvature), share in zip(moves, reversed(shares), strict=True):
        turned += (share - float(bend @ turned) / curvature) * change
    return turned
