"""A run's mark in an output folder: who is at work there, on which recordings.

The mark is `.tercet-run-TOKEN`, locked while its run lives, with the recordings that the run hears.
Temporary files carry the token, too. So a killed run's leftovers are told from a living one's, and
two runs over the same recordings share them instead of hearing each of them twice.
"""

import os
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tercet.cli.listening.locks import lock

_MARK = ".tercet-run-"
_TEMPORARY = ".tercet.tmp"
# Where no lock tells the living from the dead, age does: a temporary file lives for milliseconds.
_LEFT_BEHIND_S = 3600.0


class Presence:
    """This run's mark in one folder. Making and closing it removes what killed runs left there."""

    def __init__(self, folder: Path) -> None:
        """Leave the mark.

        Raises:
            OSError: nothing can be written in the folder.
        """
        self._folder = folder
        self._token, self._file, self._is_locked = _leave_mark(folder)
        self._sweep()

    def temporary(self, what: str) -> Path:
        """A name for an unfinished file. It is renamed or removed by whoever asks for it."""
        return self._folder / f".{what}-{self._token}{_TEMPORARY}"

    def claim(self, keys: Collection[str]) -> None:
        """Say what this run hears; what it said before is void."""
        with suppress(OSError):  # a full disk: others may hear it, too
            self._file.seek(0)
            self._file.truncate()
            self._file.write("".join(f"{key}\n" for key in keys).encode())
            self._file.flush()

    def claimed_by_others(self) -> set[str]:
        """What other living runs say that they hear."""
        if not self._is_locked:
            return set()
        claimed: set[str] = set()
        for path in self._other_marks():
            with suppress(OSError), path.open("rb") as file:
                if lock(file, wait=False) is False:
                    claimed.update(file.read().decode("ascii", errors="replace").split())
        return claimed

    def close(self) -> None:
        """Take the mark away."""
        self._sweep()  # a run beside this one may have been killed
        with suppress(OSError):
            (self._folder / f"{_MARK}{self._token}").unlink()
        self._file.close()

    def _other_marks(self) -> Iterator[Path]:
        for name in _names(self._folder):
            if name.startswith(_MARK) and name != f"{_MARK}{self._token}":
                yield self._folder / name

    def _sweep(self) -> None:
        """Remove the marks and temporary files of runs that were killed."""
        # Listed before the marks are looked at: a mark is older than its run's temporary files.
        unfinished = [name for name in _names(self._folder) if name.endswith(_TEMPORARY)]
        living = {self._token}
        for mark in self._other_marks():
            with suppress(OSError), mark.open("rb") as file:
                # Removed while it is held: nobody can take it for a living one's.
                if self._is_locked and lock(file, wait=False):
                    mark.unlink(missing_ok=True)
                else:
                    living.add(mark.name.removeprefix(_MARK))
        for name in unfinished:
            token = name.removesuffix(_TEMPORARY).partition("-")[2]
            path = self._folder / name
            with suppress(OSError):
                is_old = time.time() - path.stat().st_mtime > _LEFT_BEHIND_S
                if token not in living and (self._is_locked or is_old):
                    path.unlink()


def _leave_mark(folder: Path) -> tuple[str, BinaryIO, bool]:
    while True:
        token = f"{os.getpid()}-{secrets.token_hex(4)}"
        path = folder / f"{_MARK}{token}"
        file = path.open("xb")
        try:
            is_locked = bool(lock(file, wait=True))  # another may be looking whether it is
            if path.exists():
                return token, file, is_locked
        except BaseException:
            file.close()
            raise
        # Between the two steps it was taken for a killed run's, and removed.
        file.close()


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
