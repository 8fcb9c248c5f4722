"""Locks on files, which the system lets go of when a process ends, however it ends. POSIX only."""

import sys
from typing import IO, Any

if sys.platform != "win32":
    import fcntl


def lock(file: IO[Any], *, wait: bool) -> bool | None:
    """Hold the file until it is closed.

    Returns:
        False where another holds it (with `wait`, it is waited for); None where files cannot be
        locked: on Windows, and in some network folders.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
