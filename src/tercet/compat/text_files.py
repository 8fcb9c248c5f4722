"""Files of text that are whole or not there at all: a temporary name first, then renamed. Knows no format."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tercet.errors import OutputError, TercetError


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file to write, in UTF-8; it gets its name once the block is left without an error.

    Raises:
        OutputError: it cannot be written; what was at `path` is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, TercetError):  # a recording that is not there, say
            raise
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path}: not written: {reason}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Whether a file may get this name, before hours of work for it.

    Raises:
        OutputError: it is a folder, or its folder is not there.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: its folder is not there; make it first")
