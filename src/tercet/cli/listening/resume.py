"""The journal of an output folder: which recordings are finished, heard with which settings.

It is `.tercet-resume.jsonl` in the folder: one line of JSON per finished recording, appended
after its files are in place. A torn or foreign line is passed over: its recording is heard again.
A file belongs to the last line that names it, whatever an earlier line says of it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tercet.cli.inputs import Input, Stamp
from tercet.cli.listening.locks import lock

JOURNAL_NAME = ".tercet-resume.jsonl"
# Fewer dead lines than this cost no time worth writing the journal anew for.
_DEAD_LINES_KEPT = 1000

Identity = dict[str, str | int]
_FIELDS = ("name", "size", "mtime_ns", "base", "settings")


class Finished:
    """What the journal says, looked up by recording. Built in one pass."""

    def __init__(self, rows: Iterable[bytes], settings: str, folder: Path) -> None:
        """Read the lines, then see which of their files are still in the folder."""
        self.lines = 0
        self._made_by: dict[str, int] = {}  # an output's name -> the last line that names it
        # A recording heard with our settings -> its formats -> the line, and the outputs.
        self._formats: dict[str, dict[str, tuple[int, list[str]]]] = {}
        for number, row in enumerate(rows):
            self.lines = number + 1
            self._take(number, _parsed(row), settings)
        self._present = _files_in(folder)

    @property
    def live_lines(self) -> set[int]:
        """The lines that a file in the folder comes from."""
        return {number for name, number in self._made_by.items() if name in self._present}

    def holds(self, identity: Identity | None, formats: Sequence[str]) -> bool:
        """Whether every format is there, made from this very recording with our settings."""
        made = {} if identity is None else self._formats.get(key_of(identity), {})
        return all(name in made and self._is_there(*made[name]) for name in formats)

    def _take(self, number: int, line: object, settings: str) -> None:
        if not isinstance(line, dict) or not isinstance(line.get("outputs"), dict):
            return
        formats = {name: files for name, files in line["outputs"].items() if _are_names(files)}
        self._made_by.update((file, number) for files in formats.values() for file in files)
        if line.get("settings") == settings:
            made = self._formats.setdefault(key_of(line), {})
            made.update((name, (number, files)) for name, files in formats.items())

    def _is_there(self, number: int, files: list[str]) -> bool:
        return all(self._made_by[name] == number and name in self._present for name in files)


class Journal:
    """What is finished in one folder, for one way of hearing."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], temporary: Callable[[str], Path]
    ) -> None:
        """`temporary` names unfinished files in the folder."""
        self._folder = folder
        self._path = folder / JOURNAL_NAME
        self._temporary = temporary
        described = json.dumps(settings, sort_keys=True, default=str)
        self._settings = hashlib.sha256(described.encode()).hexdigest()[:16]

    def identify(self, entry: Input, base: str, stamp: Stamp | None) -> Identity | None:
        """How the journal knows a recording again: its name, size and time of change.

        `stamp` is from before it is heard. None for what has none: standard input, a pipe.
        """
        if stamp is None:
            return None
        return {
            "name": entry.file_name,
            "size": stamp.size,
            "mtime_ns": stamp.mtime_ns,
            "base": base,
            "settings": self._settings,
        }

    @contextmanager
    def held(self) -> Iterator[Finished]:
        """What is finished; other runs neither read nor write the journal meanwhile.

        A journal whose lines are mostly dead is written anew without them.
        """
        with ExitStack() as stack:
            is_ours = self._hold(stack) is not None
            finished = self._read()
            live = finished.live_lines
            if is_ours and finished.lines - len(live) > max(len(live), _DEAD_LINES_KEPT):
                with suppress(OSError):  # then it stays as it was
                    self._rewrite(live, stack)
                    finished = self._read()
            yield finished

    def add(self, identity: Identity | None, outputs: Mapping[str, Sequence[str]]) -> None:
        """Note a finished recording. `outputs` maps each format to its files' names.

        Raises:
            OSError: the journal cannot be written.
        """
        if identity is None:
            return
        entry = {**identity, "outputs": {k: list(v) for k, v in outputs.items()}}
        line = json.dumps(entry).encode() + b"\n"
        with ExitStack() as stack:
            # Where it cannot be held, opening it once more says why.
            file = self._hold(stack) or stack.enter_context(self._path.open("ab+"))
            size = file.seek(0, os.SEEK_END)
            if size:
                # After a torn line, start with a line end: the tear spoils nothing but itself.
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)

    def close(self) -> None:
        """Leave no empty journal behind; whoever waits for its lock sees that it has gone."""
        with ExitStack() as stack, suppress(OSError):
            file = self._hold(stack)
            if file is not None and file.seek(0, os.SEEK_END) == 0:
                self._path.unlink()

    def _hold(self, stack: ExitStack) -> IO[bytes] | None:
        """The journal, locked until the stack closes; None where it cannot be written."""
        while True:
            try:
                file = stack.enter_context(self._path.open("ab+"))
            except OSError:
                return None
            lock(file, wait=True)
            with suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    return file
            # Another run has put a shorter one in its place meanwhile.

    def _read(self) -> Finished:
        try:
            with self._path.open("rb") as rows:
                return Finished(rows, self._settings, self._folder)
        except OSError:
            return Finished((), self._settings, self._folder)

    def _rewrite(self, live: Set[int], stack: ExitStack) -> None:
        temporary = self._temporary("journal")
        try:
            # Locked before it has the journal's name: nobody writes to it before we are through.
            shorter = stack.enter_context(temporary.open("wb"))
            lock(shorter, wait=True)
            with self._path.open("rb") as rows:
                shorter.writelines(row for number, row in enumerate(rows) if number in live)
            shorter.flush()
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def key_of(identity: Mapping[str, object]) -> str:
    """A short name for an identity."""
    described = json.dumps([identity.get(name) for name in _FIELDS])
    return hashlib.sha256(described.encode()).hexdigest()[:24]


def _are_names(files: object) -> bool:
    return isinstance(files, list) and bool(files) and all(isinstance(f, str) for f in files)


def _files_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def _parsed(row: bytes) -> object:
    try:
        return json.loads(row)
    except ValueError:
        return None
