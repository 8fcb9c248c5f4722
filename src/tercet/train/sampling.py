"""Which item is drawn when: an endless sequence that depends on the seed and the position alone.

So a run that goes on in the middle of an epoch sees what an undisturbed one would have seen, with any
number of worker processes and of devices. Items are read elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tercet.errors import OptionError, TrainingError

_BLOCK = 2**16  # positions whose random choices are made together
# Streams of random numbers of one seed must differ: each use has its own number.
_SHUFFLE, _WEIGHTED, _MIXED, _ITEM = range(4)


@dataclass(frozen=True, slots=True)
class Draw:
    """One item to be read, and the seed of everything random about reading it.

    A data set does its random work (augmentation, mixing, placing) with
    `numpy.random.default_rng(draw.seed)` and with nothing else.
    """

    index: int
    seed: int  # 0..2**64 - 1


class Order(Protocol):
    """An endless sequence of item numbers."""

    @property
    def size(self) -> int:
        """How many items there are to choose from."""
        ...

    @property
    def pass_length(self) -> int:
        """After how many positions everything has been drawn once (on average, where it is random)."""
        ...

    def at(self, position: int) -> int:
        """The item at a position, 0 and up. Neighbouring positions are cheap."""
        ...


class Sequential:
    """0, 1, 2 .. and again."""

    def __init__(self, size: int) -> None:
        """Of `size` items.

        Raises:
            OptionError: there are none.
        """
        _check_size(size)
        self.size = self.pass_length = size

    def at(self, position: int) -> int:
        """See `Order`."""
        return position % self.size


class Shuffled:
    """Every item once in each pass, in an order of its own."""

    def __init__(self, size: int, seed: int) -> None:
        """Of `size` items.

        Raises:
            OptionError: there are none.
        """
        _check_size(size)
        self.size = self.pass_length = size
        self._seed = seed
        self._pass = -1
        self._permutation = np.empty(0, np.int64)

    def at(self, position: int) -> int:
        """See `Order`."""
        number, offset = divmod(position, self.size)
        if number != self._pass:
            rng = np.random.default_rng([self._seed, _SHUFFLE, number])
            self._permutation = rng.permutation(self.size)
            self._pass = number
        return int(self._permutation[offset])


class Weighted:
    """Items drawn with replacement, each as often as its weight says (balanced sampling)."""

    def __init__(self, weights: np.ndarray, seed: int) -> None:
        """Of as many items as there are weights.

        Args:
            weights: Float [items], none negative; their sum does not matter.
            seed: Of the choices.

        Raises:
            OptionError: no item can be drawn, or a weight is negative or not finite.
        """
        weights = np.asarray(weights, np.float64)
        _check_size(weights.size)
        if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
            raise OptionError("sampling weights must be finite, not negative, and not all 0")
        self.size = self.pass_length = int(weights.size)
        self._edges = np.cumsum(weights)
        self._edges /= self._edges[-1]
        self._last = int(np.flatnonzero(weights)[-1])
        self._seed = seed
        self._block = -1
        self._chosen = np.empty(0, np.int64)

    def at(self, position: int) -> int:
        """See `Order`."""
        block, offset = divmod(position, _BLOCK)
        if block != self._block:
            points = np.random.default_rng([self._seed, _WEIGHTED, block]).random(_BLOCK)
            chosen = np.searchsorted(self._edges, points, side="right")
            self._chosen = np.minimum(chosen, self._last)
            self._block = block
        return int(self._chosen[offset])


class Mixed:
    """Several data sets behind one another (as `ConcatDataset` numbers them), drawn by weights.

    Which set is drawn is random; inside a set its own order goes on where it was.
    """

    def __init__(self, orders: Sequence[Order], weights: Sequence[float], seed: int) -> None:
        """Mix.

        Args:
            orders: One for each set.
            weights: The share of the draws that each set gets; their sum does not matter.
            seed: Of the choices between sets.

        Raises:
            OptionError: not one weight for each set, or weights that cannot be meant.
        """
        if len(orders) != len(weights):
            raise OptionError(f"{len(orders)} data sets but {len(weights)} weights; give one each")
        self._orders = tuple(orders)
        self._sets = Weighted(np.asarray(weights), seed + _MIXED)
        self._starts = np.cumsum([0, *(order.size for order in orders)])
        self.size = int(self._starts[-1])
        self.pass_length = self.size
        self._block = -1
        self._chosen = np.empty(0, np.int64)
        self._before = np.empty(0, np.int64)
        self._counts = np.zeros(len(orders), np.int64)  # draws of each set before the block

    def at(self, position: int) -> int:
        """See `Order`. A jump backwards counts again from the start."""
        block, offset = divmod(position, _BLOCK)
        if block != self._block:
            self._go_to(block)
        chosen = int(self._chosen[offset])
        inner = int(self._counts[chosen] + self._before[offset])
        return int(self._starts[chosen]) + self._orders[chosen].at(inner)

    def _go_to(self, block: int) -> None:
        if block < self._block or self._block < 0:
            self._block = -1
            self._counts[:] = 0
        while self._block < block:
            if self._block >= 0:
                self._counts += np.bincount(self._chosen, minlength=len(self._orders))
            self._block += 1
            first = self._block * _BLOCK
            self._chosen = np.fromiter(map(self._sets.at, range(first, first + _BLOCK)), np.int64)
        self._before = np.zeros(_BLOCK, np.int64)
        for number in range(len(self._orders)):
            mine = self._chosen == number
            self._before[mine] = np.arange(int(mine.sum()))


def order_of_sets(sizes: Sequence[int], weights: Sequence[float], seed: int) -> Order:
    """Data sets behind one another, drawn by their weights; inside a set each item once in each pass."""
    orders = [Shuffled(size, seed + number) for number, size in enumerate(sizes)]
    return Mixed(orders, weights, seed) if len(orders) > 1 else orders[0]


class Sampler:
    """Batches of draws without end, from a position on that can be saved.

    The position counts what was *used* by the loop, not what worker processes have fetched ahead.
    """

    def __init__(self, order: Order, seed: int) -> None:
        """Start at position 0.

        Args:
            order: Which items.
            seed: Of the items' own seeds.
        """
        self._order = order
        self._seed = seed
        self.position = 0

    def draws(self, start: int, count: int) -> list[Draw]:
        """The draws of some positions."""
        return [Draw(self._order.at(at), self._item_seed(at)) for at in range(start, start + count)]

    def batches(self, size: int, *, rank: int = 0, world: int = 1) -> Iterator[list[Draw]]:
        """Lists of `size` draws from the position on: the share of one device of `world`."""
        start = self.position
        while True:
            yield self.draws(start + rank * size, size)
            start += size * world

    def advance(self, count: int) -> None:
        """Note that so many draws have been used."""
        self.position += count

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved."""
        return {"position": self.position, "size": self._order.size, "seed": self._seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go where a saved sampler was.

        Raises:
            TrainingError: it drew from another number of items.
        """
        for name, now in (("size", self._order.size), ("seed", self._seed)):
            if state[name] != now:
                what = "items" if name == "size" else "as seed"
                raise TrainingError(
                    f"the run was started with {state[name]} {what}, and now there are {now}; give the "
                    "same data and recipe, or start a new run"
                )
        self.position = int(state["position"])

    def _item_seed(self, position: int) -> int:
        sequence = np.random.SeedSequence([self._seed, _ITEM, position])
        return int(sequence.generate_state(1, np.uint64)[0])


def _check_size(size: int) -> None:
    if size < 1:
        raise OptionError("there is no item to train on; check the manifest and its splits")
