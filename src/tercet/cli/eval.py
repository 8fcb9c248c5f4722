"""`tercet eval`: how good heads are, and what an encoder knows, over a manifest of recordings.

Figures go to standard output, everything else to standard error. What measures is in `tercet.evaluate`.
"""

from collections.abc import Sequence

import typer

from tercet.cli import eval_probe, eval_tags, eval_text, eval_tokens
from tercet.cli.chosen import Program, carried_out
from tercet.errors import (
    FingerprintError,
    HeadError,
    ModelNotFoundError,
    OptionError,
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
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    program = Program(name=_PROGRAM, app=app, usage_errors=_USAGE_ERRORS)
    return carried_out(program, argv)


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
