"""What the words of a command line choose, read by typer; and done: errors become lines and exit codes."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from tercet.cli import exit_codes
from tercet.cli.listening.outputs import close_stdout
from tercet.cli.wording import as_said_here
from tercet.errors import OptionError, TercetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is particular to one command."""

    name: str  # "tercet eval"
    app: Callable[[], typer.Typer]  # its functions give what is to be done
    usage_errors: tuple[type[TercetError], ...] = ()  # exit code 2, as OptionError has; others: 1
    hint: str = ""  # behind a wrong option's line: the help to look at
    stopped: str = ""  # what Ctrl-C leaves; "": the action says it


def carried_out(program: Program, argv: Sequence[str]) -> int:
    """Do what a command line asks for; returns the exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        words = [underscored(word) for word in argv] or ["--help"]
        action = chosen(program.app(), words, program=program.name)
        if not callable(action):  # it asked for help
            return exit_codes.OK
        return int(action() or exit_codes.OK)
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        close_stdout()
        return exit_codes.FAILED
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(program.stopped or str(interrupt)) from None
    except TercetError as error:
        for fault in getattr(error, "faults", ()):  # a manifest's: all of them, not the first few
            print(fault, file=sys.stderr)
        is_wrong = isinstance(error, OptionError)
        hint = f" (see {program.hint})" if is_wrong and program.hint else ""
        line = " ".join(as_said_here(error).split())
        print(f"{program.name}: {line}{hint}", file=sys.stderr)
        is_usage = is_wrong or isinstance(error, program.usage_errors)
        return exit_codes.USAGE if is_usage else exit_codes.FAILED


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
