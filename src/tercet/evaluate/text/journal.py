"""What was heard so far, a line of JSON for each recording, so that a stopped run hears nothing twice.

A journal is a folder: `settings.json` says with what and how it was heard, `heard.jsonl` what.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tercet.dataset.whole_file import whole_file
from tercet.errors import DataError, OptionError, OutputError

HEARD, SETTINGS = "heard.jsonl", "settings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One recording, clean or with noise, and its text."""

    key: str  # the same recording at the same noise has the same key, whoever hears it
    reference: str
    text: str
    language: str  # "und" where nobody spoke and nobody said which
    duration_s: float
    took_s: float  # its share of the time that its batch took
    noise: str = ""  # "": clean
    snr_db: float | None = None
    fields: Mapping[str, str] | None = None  # of the manifest's row


class Journal:
    """A folder of what was heard, or memory alone."""

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        """Open a journal; what an earlier run heard is in it.

        Args:
            folder: Made if it is not there; None keeps everything in memory.
            settings: With what and how is heard; the same in every run that adds to it.

        Raises:
            OptionError: the folder was begun with other settings.
            OutputError: it cannot be made.
            DataError: a file in it is damaged.
        """
        self._folder = folder
        self._heard: dict[str, Heard] = {}
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check(folder, settings)
            self._heard = {each.key: each for each in _read(folder / HEARD)}
        except OSError as error:
            raise unwritable(folder, error) from error

    def __contains__(self, key: str) -> bool:
        return key in self._heard

    def __getitem__(self, key: str) -> Heard:
        return self._heard[key]

    def add(self, heard: Iterable[Heard]) -> None:
        """Keep some; they are on the disk when this returns.

        Raises:
            OutputError: the disk is full; what was kept before is still there.
        """
        found = list(heard)
        self._heard |= {each.key: each for each in found}
        if self._folder is None:
            return
        lines = "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in found)
        try:
            with (self._folder / HEARD).open("a", encoding="utf-8") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def _check(self, folder: Path, settings: Mapping[str, Any]) -> None:
        path = folder / SETTINGS
        told = json.loads(json.dumps(settings))
        if not path.exists():
            if (folder / HEARD).exists():
                raise DataError(f"{folder}: has no {SETTINGS}; name another folder")
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            return
        earlier = _settings_in(path)
        differing = sorted(name for name in told | earlier if told.get(name) != earlier.get(name))
        if differing:
            name = differing[0]
            raise OptionError(
                f"{folder}: was heard with {name} {earlier.get(name)!r}, not {told.get(name)!r}; "
                "name another folder"
            )


def read_journal(folder: Path) -> tuple[dict[str, Any], list[Heard]]:
    """The settings and the contents of a journal.

    Raises:
        DataError: the folder holds none, or a damaged one.
    """
    try:
        return _settings_in(folder / SETTINGS), _read(folder / HEARD)
    except OSError as error:
        raise DataError(
            f"{folder}: holds nothing that tercet eval text --out wrote ({error.strerror})"
        ) from error


def is_journal(folder: Path) -> bool:
    """Whether a folder is one."""
    return (folder / SETTINGS).is_file() and (folder / HEARD).is_file()


def _read(path: Path) -> list[Heard]:
    """All whole lines; a last one without its end is what a killed run left, and is heard again."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole, _, torn = data.rpartition(b"\n")
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(whole) + 1 if whole else 0)
    found = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            found.append(Heard(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: line {number} is damaged; remove the line to have it heard again"
            ) from error
    return found


def _settings_in(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); name another folder") from error
    if not isinstance(told, dict):
        raise DataError(f"{path}: is damaged; name another folder")
    return told


def unwritable(folder: Path, error: OSError) -> OutputError:
    """The one line for a folder of `--out` that cannot be written."""
    reason = error.strerror or str(error)
    return OutputError(
        f"{folder}: cannot be written ({reason}); what was heard before is kept, the same command goes on"
    )
