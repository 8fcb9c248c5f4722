"""How a command ends that was told to: in order, so that what is under way is completed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TERMINATED = 143  # 128 + SIGTERM, as shells have it


@contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGTERM unwinds, so that files under way are completed; the exit code is `TERMINATED`."""
    if threading.current_thread() is not threading.main_thread():  # Python allows no handler there
        yield
        return
    signals: list[int] = []

    def terminate(number: int, _: object) -> None:
        signals.append(number)
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except SystemExit:
        if not signals:
            raise
        raise SystemExit(TERMINATED) from None  # Ray makes another code of it
    finally:
        signal.signal(signal.SIGTERM, before)
