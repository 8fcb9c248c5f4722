"""Batches from a data set, in this process or in workers; faults of an item keep their one line."""

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from tercet.errors import TercetError
from tercet.train.sampling import Draw
from tercet.train.task import Items


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: type[TercetError]
    message: str


class _Reader:
    """Draws -> a batch, in whichever process. Torch would wrap an error into many lines."""

    def __init__(self, items: Items, collate: Callable[[list[Any]], Any]) -> None:
        self._items = items
        self._collate = collate

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, draw: Draw) -> Any:
        return self.__getitems__([draw])

    def __getitems__(self, draws: list[Draw]) -> Any:
        try:
            return self._collate([self._items[draw] for draw in draws])
        except TercetError as error:
            return _Fault(type(error), str(error))


class _Lists:
    """A batch sampler out of any iterable."""

    def __init__(self, lists: Iterable[list[Draw]]) -> None:
        self._lists = lists

    def __iter__(self) -> Iterator[list[Draw]]:
        return iter(self._lists)


def batches(
    items: Items,
    collate: Callable[[list[Any]], Any],
    lists: Iterable[list[Draw]],
    *,
    workers: int,
    pin_memory: bool,
) -> Generator[Any, None, None]:
    """Read a batch for each list of draws, in order.

    Raises:
        TercetError: what an item raised.
    """
    loader: DataLoader[Any] = DataLoader(
        _Reader(items, collate),  # type: ignore[arg-type]
        batch_sampler=_Lists(lists),
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_leave_signals_to_the_run,
        # Its own generator: opening it must not move the one that training draws from.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, _Fault):
            raise batch.kind(batch.message)
        yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def _leave_signals_to_the_run(_worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the run finishes its step and then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
