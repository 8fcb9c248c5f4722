"""`tercet eval`: how good heads are, and what an encoder knows, over a manifest of recordings.

Figures go to standard output, everything else to standard error. What measures is in `tercet.evaluate`.
"""

import sys
from collections.abc import Sequence

import typer

from tercet.cli import eval_probe, eval_tags, eval_text, eval_tokens, exit_codes
from tercet.cli.chosen import chosen, underscored
from tercet.cli.listening.outputs import close_stdout
from tercet.cli.wording import as_said_here
from tercet.errors import (
    FingerprintError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    TercetError,
)

_PROGRAM = "tercet eval"
# What the command line asks for cannot be had: no recording is to blame.
_USAGE_ERRORS = (OptionError, ModelNotFoundError, HeadError, FingerprintError)
_COMMANDS = {
    "text": eval_text,
    "tags": eval_tags,
    "tokens": eval_tokens,
    "probe": eval_probe,
}
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Measure models, heads and encoders over a manifest of recordings.",
        "MANIFEST is a .csv, .tsv, .jsonl or .parquet file, AudioSet's .json, or a folder with one; "
        "docs/eval.md says what is measured, and how.",
        "  tercet eval text speech.csv --compare base my-student --by domain\n"
        "  tercet eval tags sounds.jsonl --tags HEAD --where fold=4\n"
        "  tercet eval tokens speech.csv --tokens HEAD --where 'speaker=*9' -f json\n"
        "  tercet eval probe sounds.jsonl --speech speech.csv --plot probe.svg",
    )
)
_EPILOG = "Exit code: 0, 1 (a manifest, a recording or a file failed), 2 (usage), 130 (Ctrl-C)."


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        words = [underscored(word) for word in argv] or ["--help"]
        action = chosen(app(), words, program=_PROGRAM)
        if not callable(action):  # it asked for help
            return exit_codes.OK
        action()
        return exit_codes.OK
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        close_stdout()
        return exit_codes.FAILED
    except TercetError as error:
        return _fail(error)


def app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    made = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        help=_HELP,
        epilog=_EPILOG,
        context_settings=settings,
    )
    for name, module in _COMMANDS.items():
        made.command(name=name, help=module.HELP, context_settings=settings)(module.command)
    return made


def _fail(error: TercetError) -> int:
    is_usage = isinstance(error, _USAGE_ERRORS)
    for fault in getattr(error, "faults", ()):  # a manifest's: all of them, not the first few
        print(fault, file=sys.stderr)
    print(f"{_PROGRAM}: {' '.join(as_said_here(error).split())}", file=sys.stderr)
    return exit_codes.USAGE if is_usage else exit_codes.FAILED
