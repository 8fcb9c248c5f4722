"""Lets one thread work ahead of another: what an iterator makes is ready when it is asked for."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _End:
    """The iterator ended, by itself or with an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Ahead(Generic[Item]):
    """Runs an iterator in a thread of its own, `limit` items ahead of whoever takes them, and one in hand.

    Errors arrive where the item would have arrived. `close` stops the thread after its present item.
    """

    def __init__(self, items: Iterator[Item], *, limit: int) -> None:
        self._items = items
        self._queue: queue.Queue[Item | _End] = queue.Queue(maxsize=limit)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tercet-ahead", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether the next item is there without waiting."""
        return not self._queue.empty()

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self._queue.get()
            if not isinstance(item, _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                return

    def close(self) -> None:
        """Stop working ahead; what is ready already is dropped."""
        self._is_closed.set()
        while self._thread.is_alive():
            try:  # room for the one that the thread may be waiting with
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.01)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._queue.put(item)
                if self._is_closed.is_set():
                    break
        except BaseException as fault:  # handed to the thread that waits
            error = fault
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._queue.put(_End(error))
