"""How sure an error rate is, and whether two systems differ: utterances drawn again and again. Plain NumPy.

Utterances are drawn, not words: errors inside one come together (Bisani and Ney, ICASSP 2004). The rate of a
draw is that of a corpus: its errors by its words. All chance comes from the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95
_AT_ONCE = 2**21  # numbers of utterances that are held in memory at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends of it; NaN of fewer than two utterances, which tell nothing of others."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """The first system against the second, over the same utterances."""

    difference: (
        float  # the first one's corpus rate less the second one's: below 0, the first is better
    )
    interval: Interval  # of the difference
    p_value: float  # two-sided, in (0, 1]: how often chance alone differs as much
    wins: int  # utterances in which the first has fewer errors
    losses: int
    ties: int


def rate_interval(
    errors: Sequence[int],
    sizes: Sequence[int],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Where the corpus rate of other utterances of the same kind would lie (percentiles).

    Args:
        errors: Of each utterance.
        sizes: Words (or letters) of each reference, 1 or more.
        draws: How many corpora are drawn.
        level: What share of them lies inside, in (0, 1).
        seed: Of the draws.
    """
    assert len(errors) == len(sizes)
    if len(sizes) < 2:
        return Interval(np.nan, np.nan)
    columns = np.array([errors, sizes], np.float64).T
    sums = np.concatenate(list(_sums(columns, draws, seed)))
    return _percentiles(sums[:, 0] / sums[:, 1], level)


def paired_test(
    first: Sequence[int],
    second: Sequence[int],
    sizes: Sequence[int],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> PairedTest:
    """Compare two systems; both are drawn together, so that hard utterances are hard for both.

    The p-value is the share of draws whose difference lies at least as far from the one that was measured as
    that lies from 0. One draw more, the corpus itself, keeps it above 0. It is never under what exchanging
    the systems within utterances could show at best: three utterances that differ alike prove little.

    Args:
        first: Errors of one system in each utterance.
        second: Errors of the other.
        sizes: Words (or letters) of each reference, 1 or more; one utterance at least.
        draws: How many corpora are drawn.
        level: Of the interval, in (0, 1).
        seed: Of the draws.
    """
    assert len(first) == len(second) == len(sizes) > 0
    more = np.array(first, np.int64) - np.array(second, np.int64)
    difference = float(more.sum() / np.sum(sizes))
    interval, p_value = Interval(np.nan, np.nan), 1.0
    if len(sizes) > 1:
        columns = np.array([more, sizes], np.float64).T
        sums = np.concatenate(list(_sums(columns, draws, seed)))
        drawn = sums[:, 0] / sums[:, 1]
        interval = _percentiles(drawn, level)
        # Sums of whole numbers are exact, their quotients are not: equal ones may differ in the last bit.
        is_as_far = np.abs(drawn - difference) >= abs(difference) - 1e-12
        n_differing = int(np.count_nonzero(more))
        least = 1 / 2 ** max(0, n_differing - 1)  # both signs of n equal differences, of 2^n
        p_value = max(least, float((1 + is_as_far.sum()) / (1 + draws)))
    return PairedTest(
        difference=difference,
        interval=interval,
        p_value=p_value,
        wins=int((more < 0).sum()),
        losses=int((more > 0).sum()),
        ties=int((more == 0).sum()),
    )


def _sums(columns: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Sums [some draws, columns] over as many rows as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = len(columns)
    left = draws
    while left:
        now = min(left, max(1, _AT_ONCE // n))
        chosen = rng.integers(0, n, (now, n))
        yield np.stack([column[chosen].sum(axis=1) for column in columns.T], axis=1)
        left -= now


def _percentiles(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
