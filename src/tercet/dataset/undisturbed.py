"""Moments in which Ctrl-C and SIGTERM have to wait: half a row is in a file, or a file has half a name."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that arrive inside the block do what they do when it is left.

    Their handlers are exchanged and not masked: with several threads, Python runs a handler in the main one
    whatever that one masks. Elsewhere than in the main thread nothing needs to be done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # None: a handler that Python does not know, and could not put back.
    exchanged = {number: each for number, each in handlers.items() if each is not None}
    for number in exchanged:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in exchanged.items():
            signal.signal(number, handler)
        for each in arrived:
            signal.raise_signal(each)
