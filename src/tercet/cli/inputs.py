"""FILES... -> the recordings to hear, in the order of the arguments. Opens none of them."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tercet.errors import AudioError, AudioNotFoundError, AudioUnreadableError, TercetError

STDIN = "-"
# What a folder is searched for. A file that is named outright may be called anything.
AUDIO_EXTENSIONS = frozenset(
    {
        *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf"),
        *(".flac", ".flv", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4"),
        *(".mpeg", ".mpg", ".mpga", ".oga", ".ogg", ".ogv", ".opus", ".spx", ".ts", ".tta", ".wav"),
        *(".webm", ".wma", ".wmv", ".wv"),
    }
)


class Stamp(NamedTuple):
    """What changes when somebody writes to a file."""

    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Input:
    """One recording: a path as the user would write it, or `-`."""

    source: str
    folder: str | None = field(default=None, compare=False)  # that was named, where one was

    @property
    def is_stdin(self) -> bool:
        """Whether the bytes come from standard input."""
        return self.source == STDIN

    @property
    def shown(self) -> str:
        """The name for messages and results."""
        return "stdin" if self.is_stdin else self.source

    @property
    def file_name(self) -> str:
        """The name without its folders."""
        return Path(self.shown).name

    def stamp(self) -> Stamp | None:
        """The file's, now. None for what has none: standard input, a pipe, a file that is gone."""
        if self.is_stdin:
            return None
        try:
            status = Path(self.source).stat()
        except (OSError, ValueError):
            return None
        is_file = stat.S_ISREG(status.st_mode)
        return Stamp(status.st_size, status.st_mtime_ns) if is_file else None


@dataclass(frozen=True, slots=True)
class Unusable:
    """An argument that leads to no recording, and why."""

    argument: str
    error: TercetError


@dataclass(frozen=True, slots=True)
class Kind:
    """What a folder or a pattern is searched for."""

    name: str  # for messages
    extensions: frozenset[str]


AUDIO = Kind("audio file", AUDIO_EXTENSIONS)


def find(arguments: Sequence[str], kind: Kind = AUDIO) -> tuple[list[Input], list[Unusable]]:
    """Every recording that the arguments name, each once.

    A folder stands for the audio files in it and below, sorted; hidden ones are left out, and so
    are pipes, sockets and devices, which are heard where they are named. A
    pattern (`*`, `?`, `[...]`, `**` for any depth) that the shell left alone is matched here; a
    file whose name is the pattern itself comes first. With another `kind`, other files are meant.

    Returns:
        The recordings, and the arguments that name none.
    """
    found: dict[str, Input] = {}  # by the file they lead to
    unusable: list[Unusable] = []
    for argument in arguments:
        try:
            paths = list(_paths(argument, kind))
        except TercetError as error:
            unusable.append(Unusable(argument, error))
            continue
        folder = argument if argument != STDIN and Path(argument).is_dir() else None
        for path in paths:
            key = STDIN if path == STDIN else os.path.realpath(path)
            found.setdefault(key, Input(path, folder))
    return list(found.values()), unusable


def check_unchanged(entry: Input, before: Stamp | None) -> None:
    """Compare a recording with its earlier stamp. One that is gone was heard to its end.

    Raises:
        AudioError: it was written to.
    """
    after = entry.stamp()
    if before is not None and after is not None and after != before:
        raise AudioError(
            f"{entry.shown}: changed after this run began, its text may mix old and new; "
            "hear it again"
        )


def _paths(argument: str, kind: Kind) -> Iterable[str]:
    path = Path(argument)
    if argument == STDIN:
        return [STDIN]
    if path.is_dir():
        missing = f"{argument}: no {kind.name} in this folder; name the files"
        return _needed(_inside(path, kind), missing)
    if os.path.lexists(argument):
        return [argument]
    if glob.has_magic(argument):
        return _needed(_matches(argument, kind), f"{argument}: no {kind.name} matches this pattern")
    raise AudioNotFoundError(f"{argument}: no such file; check the name")


def _needed(paths: Iterable[str], message: str) -> list[str]:
    listed = list(paths)
    if not listed:
        raise AudioNotFoundError(message)
    return listed


def _inside(folder: Path, kind: Kind) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        if error.filename == str(folder):
            raise AudioUnreadableError(f"{folder}: cannot be opened: {error.strerror}")

    for parent, below, names in os.walk(folder, onerror=refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix.lower() not in kind.extensions:
                continue
            if not _is_special(path := Path(parent, name)):
                yield str(path)


def _is_special(path: Path) -> bool:
    """Whether reading it may wait for ever: a pipe, a socket, a device. Of a link, what it leads to.

    A link that leads nowhere is not: whoever opens it says so.
    """
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _matches(pattern: str, kind: Kind) -> Iterator[str]:
    # `*.dat` names an extension: take it at its word. `*` and `**` pick what is meant.
    suffix = Path(pattern).suffix
    picky = not suffix or glob.has_magic(suffix)
    for match in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - absolute too
        if Path(match).is_dir():
            yield from _inside(Path(match), kind)
        elif _is_special(Path(match)):
            continue
        elif not picky or Path(match).suffix.lower() in kind.extensions:
            yield match
