"""Pictures of figures, drawn by matplotlib: what may be asked for, and how a file is replaced."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tercet.cli.listening.outputs import reason_of
from tercet.errors import OptionError, OutputError

_FORMATS = (".svg", ".png")


def check_plot(path: Path) -> None:
    """Found out before an hour of work.

    Raises:
        OptionError: the name has another ending, or matplotlib is not installed.
    """
    from importlib.util import find_spec

    if path.suffix.lower() not in _FORMATS:
        raise OptionError(f"--plot {path}: give a name that ends in .svg or .png")
    if find_spec("matplotlib") is None:
        raise OptionError("--plot needs matplotlib: pip install 'tercet[eval]'")


def check_free(path: Path, *, force: bool) -> None:
    """Nothing is replaced unless it was asked for.

    Raises:
        OutputError: a file is there.
    """
    if path.is_dir():
        raise OutputError(f"{path}: a folder has this name; choose another")
    if path.exists() and not force:
        raise OutputError(f"{path}: is there already; choose another name, or give --force")


def save_plot(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib's under its name, in one step.

    Raises:
        OutputError: it cannot be written; what was there is left.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."))
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: not written: {reason_of(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
