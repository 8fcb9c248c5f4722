"""What the words of a command line choose, read by typer; a usage error becomes one of ours."""

from collections.abc import Sequence
from typing import Any

import typer

from tercet.errors import OptionError


def chosen(app: typer.Typer, words: Sequence[str], *, program: str) -> Any:
    """What the function that typer calls returns; None or an exit code where help was asked for, and printed.

    Raises:
        OptionError: the words cannot be understood, in one line.
        TercetError: the function's own.
    """
    try:
        return typer.main.get_command(app).main(
            args=list(words), prog_name=program, standalone_mode=False
        )
    except Exception as error:
        # typer carries its own copy of click in newer versions and click's classes in older ones:
        # a usage error is known by what it can do.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        raise OptionError(" ".join(str(describe()).split())) from None


def underscored(word: str) -> str:
    """`--compute-type=int8` as `--compute_type=int8`; values and other words as they are."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"
