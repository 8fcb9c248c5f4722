"""How the next token is picked from logits that the rules have passed: one per row and step."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from tercet.decoding.array_gaps import Array, from_numpy, to_numpy


class Strategy(Protocol):
    """Picks a token per row."""

    def pick(self, logits: Array, rows: Sequence[int]) -> np.ndarray:
        """Token ids int64 [len(rows)] from logits [len(rows), vocab].

        `rows` are the rows' numbers in the whole batch; finished ones are left out.
        """
        ...


class Greedy:
    """The likeliest token; of equals, the lowest id."""

    def pick(self, logits: Array, rows: Sequence[int]) -> np.ndarray:
        """See `Strategy.pick`."""
        xp = array_namespace(logits)
        return to_numpy(xp.argmax(logits, axis=-1)).astype(np.int64)


class Sample:
    """A token drawn from softmax(logits / temperature).

    Every row has a generator of its own, made from the seed, the row's key and the attempt: what is
    drawn for a row does not depend on who shares its batch.
    """

    def __init__(
        self, temperature: float, *, seed: int, row_keys: Sequence[int], attempt: int
    ) -> None:
        """`temperature` above 0; seed, keys and attempt are whole numbers from 0 on."""
        self._temperature = temperature
        self._generators = [np.random.default_rng([seed, key, attempt]) for key in row_keys]

    def pick(self, logits: Array, rows: Sequence[int]) -> np.ndarray:
        """See `Strategy.pick`."""
        xp = array_namespace(logits)
        scaled = xp.astype(logits, xp.float64) / self._temperature
        weights = xp.exp(scaled - xp.max(scaled, axis=-1, keepdims=True))
        reached = xp.cumulative_sum(weights, axis=-1)
        # 52 bits, so that the product below stays under the total after rounding.
        drawn = np.array([self._generators[row].integers(2**52) for row in rows]) * 2.0**-52
        goal = from_numpy(drawn[:, None], logits) * reached[:, -1:]
        # The first id whose reach passes the goal; forbidden ids add nothing and are never first.
        below = xp.sum(xp.astype(reached <= goal, xp.int64), axis=-1)
        return to_numpy(below).astype(np.int64)
