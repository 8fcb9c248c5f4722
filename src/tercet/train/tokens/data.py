"""Windows of states and what the teacher expects of them: what a quantizer is trained on."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tercet.dataset.encoded import EncodedReader
from tercet.errors import DataError
from tercet.train.sampling import Draw
from tercet.train.tokens.encoding import Listener
from tercet.train.tokens.losses import Expected
from tercet.train.tokens.material import WindowOrder

_NEVER_EXPECTED = -1e9


class Window(NamedTuple):
    """An item, in tensors."""

    states: Tensor  # float32 [states of the sound, or of the whole window, width]
    n_states: int  # of the sound
    ids: Tensor  # int64 [prompt and text]
    n_prompt: int
    expected: Expected  # at each position of the text


class CachedWindows:
    """Windows that were heard once, set behind set (`train.task.Items`)."""

    def __init__(self, readers: Sequence[EncodedReader]) -> None:
        """Of some folders.

        Raises:
            DataError: one of them is empty.
        """
        for reader in readers:
            if not len(reader):
                raise DataError(
                    f"{reader.folder}: no window was fit to learn from; check the manifest's texts, "
                    "or data.most_wer"
                )
        self._readers = tuple(readers)
        self._starts = np.cumsum([0, *(len(reader) for reader in readers)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, draw: Draw) -> Window:
        """One window; nothing about it is random."""
        reader, number = self._place(draw.index)
        item = reader[number]
        assert item.states is not None
        return window_of(item.states, item.facts)

    def name_of(self, index: int) -> str:
        """A window's key."""
        reader, number = self._place(index)
        return reader.keys[number]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Windows of each set."""
        return tuple(len(reader) for reader in self._readers)

    def _place(self, index: int) -> tuple[EncodedReader, int]:
        at = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._readers[at], index - int(self._starts[at])


class HeardWindows:
    """Windows that are heard when they are drawn, each time with other gains, gaps and noise."""

    def __init__(self, listener: Listener, sets: Sequence[Sequence[WindowOrder]]) -> None:
        """Of some sets' orders."""
        self._listener = listener
        self._orders = [order for orders in sets for order in orders]
        self.sizes = tuple(len(orders) for orders in sets)

    def __len__(self) -> int:
        return len(self._orders)

    def __getitem__(self, draw: Draw) -> Window:
        """One window; where it is not fit to learn from, another one that the draw's seed names.

        Raises:
            DataError: a hundred in a row are not.
        """
        rng = np.random.default_rng(draw.seed)
        index = draw.index
        for _ in range(100):
            (heard,) = self._listener.hear([self._orders[index]], [int(rng.integers(2**31))])
            if heard is not None:
                return window_of(heard.states, heard.facts)
            index = int(rng.integers(len(self)))
        raise DataError(
            "a hundred windows in a row were not fit to learn from; raise data.most_wer"
        )

    def name_of(self, index: int) -> str:
        """A window's key."""
        return self._orders[index].key


def window_of(states: np.ndarray, facts: Mapping[str, Any]) -> Window:
    """An item of what was stored."""
    return Window(
        torch.from_numpy(np.asarray(states, np.float32)),
        int(facts["n_states"]),
        torch.tensor([*facts["prompt"], *facts["text"]]),
        len(facts["prompt"]),
        Expected(
            torch.tensor(facts["expected_ids"]),
            torch.tensor(facts["expected_log_p"], dtype=torch.float32).clamp(min=_NEVER_EXPECTED),
        ),
    )


def collate(windows: Sequence[Window]) -> list[Any]:
    """Windows as nested lists of tensors, which devices can be given; `unpacked` reads them."""
    return [
        [
            each.states,
            torch.tensor([each.n_states, each.n_prompt]),
            each.ids,
            each.expected.ids,
            each.expected.log_p,
        ]
        for each in windows
    ]


def unpacked(batch: Sequence[Any]) -> list[Window]:
    """The windows of a collated batch."""
    found = []
    for states, counts, ids, expected, log_p in batch:
        n_states, n_prompt = counts.tolist()
        found.append(Window(states, n_states, ids, n_prompt, Expected(expected, log_p)))
    return found
