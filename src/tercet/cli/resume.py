"""The journal of an output folder: which recordings are finished, heard with which settings.

It is `.tercet-resume.jsonl` in the folder: one line of JSON per finished recording, appended
after its files are in place. A torn or foreign line is passed over: its recording is heard again.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tercet.cli.inputs import Input

JOURNAL_NAME = ".tercet-resume.jsonl"


Identity = dict[str, str | int]


class Journal:
    """What is finished in one folder, for one way of hearing."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._path = folder / JOURNAL_NAME
        described = json.dumps(settings, sort_keys=True, default=str)
        self._settings = hashlib.sha256(described.encode()).hexdigest()[:16]

    def identify(self, entry: Input, base: str) -> Identity | None:
        """How the journal knows a recording again: its name, size and time of change.

        Take it before the recording is heard. None for standard input and for what is not there.
        """
        if entry.is_stdin:
            return None
        try:
            status = Path(entry.source).stat()
        except OSError:
            return None
        return {
            "name": entry.file_name,
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "base": base,
            "settings": self._settings,
        }

    def is_finished(self, identity: Identity | None, formats: Sequence[str]) -> bool:
        """Whether every format is there, made from this very recording with these settings."""
        if identity is None:
            return False
        finished: set[str] = set()
        for line in self._lines:
            outputs = line.get("outputs")
            if identity.items() <= line.items() and isinstance(outputs, dict):
                finished |= {name for name, files in outputs.items() if self._exist(files)}
        return finished.issuperset(formats)

    def add(self, identity: Identity | None, outputs: Mapping[str, Sequence[str]]) -> None:
        """Note a finished recording. `outputs` maps each format to its files' names.

        Raises:
            OSError: the journal cannot be written.
        """
        if identity is None:
            return
        line = json.dumps({**identity, "outputs": {k: list(v) for k, v in outputs.items()}})
        with self._path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                # After a torn line, start with a line end: the tear spoils nothing but itself.
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(line.encode() + b"\n")

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        """The lines that an earlier run left."""
        try:
            rows = self._path.read_bytes().splitlines()
        except OSError:
            return []
        return [value for row in rows if isinstance(value := _parsed(row), dict)]

    def _exist(self, files: object) -> bool:
        return (
            isinstance(files, list)
            and bool(files)
            and all(isinstance(name, str) and (self._folder / name).is_file() for name in files)
        )


def _parsed(row: bytes) -> object:
    try:
        return json.loads(row)
    except ValueError:
        return None
