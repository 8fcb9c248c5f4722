"""How the next token is picked from logits that the rules have passed. One pick per row and step."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import from_numpy, to_numpy

Array = Any


class Strategy(Protocol):
    """Picks a token per row."""

    def pick(self, logits: Array, rows: Sequence[int]) -> np.ndarray:
        """Token ids int64 [len(rows)] from logits [len(rows), vocab]; `rows` number them within the whole batch."""
        ...


class Greedy:
    """The likeliest token; of equals, the lowest id."""

    def pick(self, logits: Array, rows: Sequence[int]) -> np.ndarray:
        """See `Strategy.pick`."""
        xp = array_namespace(logits)
        return to_numpy(xp.argmax(logits, axis=-1)).astype(np.int64)


class Sample:
    """A token drawn from softmax(logits / temperature).

    Every row has a generator of its own, made from the seed, the row's key and the attempt: what is drawn for a row does
    not depend on who shares its batch.
    """

    def __init__(self, temperature: float, seed: int, row_keys: Sequence[int], attempt: int) -> None:
        self._temperature = temperature
        self._generators = [
            np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key, attempt])))
            for key in row_keys
        ]

    def pick(self, logits: Array, rows: Sequence[int]) -> np.ndarray:
        """See `Strategy.pick`."""
        xp = array_namespace(logits)
        scaled = xp.astype(logits, xp.float64) / self._temperature
        weights = xp.exp(scaled - xp.max(scaled, axis=-1, keepdims=True))
        cumulated = xp.cumulative_sum(weights, axis=-1)
        drawn = np.array([self._generators[row].random() for row in rows])
        threshold = from_numpy(drawn[:, None], logits) * cumulated[:, -1:]
        # The first id whose cumulated weight passes the threshold; forbidden ids add nothing, so are never first.
        below = xp.sum(xp.astype(cumulated <= threshold, xp.int64), axis=-1)
        return to_numpy(below).astype(np.int64)
