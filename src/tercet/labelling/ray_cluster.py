"""A connection to Ray: a cluster that is there, or one of this machine's own for as long as it is needed."""

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tercet import telemetry
from tercet.errors import EngineError, OptionError

_ANSWER_S = 10.0  # Ray itself goes on knocking for minutes
_ADDRESS = re.compile(r"(?:ray://)?(?P<host>[^\s/:]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_NAMES = ("auto", "local")


@contextmanager
def cluster(address: str | None = None) -> Iterator[Any]:
    """The module ray, connected; afterwards it is disconnected, and a cluster that was started here ends.

    A connection that the process has already is used, and stays.

    Args:
        address: HOST:PORT or ray://HOST:PORT; `auto`: the cluster that runs on this machine; `local`: a new
            one; None: what RAY_ADDRESS says, else as `auto` where one runs, else as `local`.

    Raises:
        OptionError: the address cannot be one.
        EngineError: Ray is not installed, or no cluster answers.
    """
    telemetry.switch_off()
    try:
        import ray
    except ImportError:
        raise EngineError("Ray is not installed: pip install 'tercet[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    named = address or os.environ.get("RAY_ADDRESS") or None
    if named is not None:
        _check_answers(named)
    try:
        _connect(ray, named)
        yield ray
    finally:
        ray.shutdown()


def is_address(word: str) -> bool:
    """Whether a word has the form of an address."""
    return word in _NAMES or _ADDRESS.fullmatch(word) is not None


def _connect(ray: Any, address: str | None) -> None:
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        ray.init(
            address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
    except Exception as error:  # of many kinds: no cluster, another version of Ray or Python
        reason = " ".join(str(error).split())[:200]
        raise EngineError(
            f"{address or 'Ray'}: no cluster to work with ({reason}); check that it runs, with the same "
            "versions of Ray and Python, and RAY_AUTH_MODE=token where it wants a token"
        ) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put one of its own there


def _check_answers(address: str) -> None:
    if address in _NAMES:
        return
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise OptionError(f"{address!r} is no address of Ray; write HOST:PORT, auto or local")
    try:
        target = (found["host"].strip("[]"), int(found["port"]))
        socket.create_connection(target, timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(
            f"{address}: no Ray cluster answers there ({reason}); check the address, or start one: "
            "ray start --head"
        ) from None
