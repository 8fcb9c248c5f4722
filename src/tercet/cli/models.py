"""`tercet models`: which there are, which are here; fetch them, remove them, say where they lie.

Paths and tables go to standard output, everything else to standard error.
"""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer

from tercet.cli import exit_codes
from tercet.cli.chosen import chosen
from tercet.cli.listening.outputs import close_stdout
from tercet.errors import ModelNotFoundError, OptionError, TercetError
from tercet.results import SCHEMA

_PROGRAM = "tercet models"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Models: which there are, which are on this machine; fetch and remove them.",
        "NAME is a known name (tiny ... large-v3, turbo, distil-*), the name of an installed "
        "model package, or a hub id (owner/name).",
        "  tercet models list\n"
        "  tercet models pull small turbo\n"
        "  tercet models path small\n"
        "  tercet models remove small",
    )
)
_EPILOG = (
    "Exit code: 0, 1 (a model could not be had, found or removed), 2 (usage), 130 (Ctrl-C). "
    "Private and gated models: set HF_TOKEN."
)
_PULL_HELP = "\n\n".join(
    (
        "Fetch models, or what of them is missing, and check what is here. Prints where they lie.",
        "An interrupted download goes on where it stopped. Every file's checksum is compared with "
        "the hub's, also of files that were here before; damaged ones are fetched again.",
    )
)
_LIST_HELP = "List the known models and those on this machine: size, licence, languages, place."
_REMOVE_HELP = "Delete models from the hub's cache, at once and for good. Says how much was freed."
_PATH_HELP = "Print where a model lies on this machine: a folder, or openai-whisper's file."
_Names = Annotated[list[str], typer.Argument(metavar="NAME", show_default=False)]
_Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="For machines: one JSON object.")]
_Revision = Annotated[
    str | None,
    typer.Option(metavar="REVISION", help="A branch, tag or commit of the hub repository."),
]
_Offline = Annotated[
    bool, typer.Option("--offline", help="Ask no hub: fail unless the model is here and whole.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes: errors only.")]


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        action = chosen(_app(), argv or ["--help"], program=_PROGRAM)
    except OptionError as error:
        print(f"{_PROGRAM}: {error} (see {_PROGRAM} --help)", file=sys.stderr)
        return exit_codes.USAGE
    if not callable(action):  # it asked for help
        return exit_codes.OK
    try:
        return int(action())
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        close_stdout()
        return exit_codes.FAILED


def _app() -> typer.Typer:
    """The words of the command line -> what is to be done, which `run` then does."""
    settings = {"help_option_names": ["--help", "-h"]}
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        help=_HELP,
        epilog=_EPILOG,
        context_settings=settings,
    )

    @app.command(name="list", help=_LIST_HELP, context_settings=settings)
    def _(*, machine: _Json = False) -> Callable[[], int]:
        return partial(_list, machine)

    @app.command(name="pull", help=_PULL_HELP, context_settings=settings)
    def _(
        names: _Names,
        *,
        revision: _Revision = None,
        offline: _Offline = False,
        quiet: _Quiet = False,
    ) -> Callable[[], int]:
        return partial(_pull, names, revision, offline, quiet)

    @app.command(name="remove", help=_REMOVE_HELP, context_settings=settings)
    def _(names: _Names) -> Callable[[], int]:
        return partial(_remove, names)

    @app.command(name="path", help=_PATH_HELP, context_settings=settings)
    def _(name: _Name) -> Callable[[], int]:
        return partial(_path, name)

    return app


def _list(machine: bool) -> int:
    from tercet.cli.models_table import as_json, as_table
    from tercet.hub.inventory import list_models

    models = list_models()
    if machine:
        print(json.dumps({"schema": SCHEMA, "models": [as_json(each) for each in models]}))
    else:
        print(as_table(models), end="")
    return exit_codes.OK


def _pull(names: Sequence[str], revision: str | None, offline: bool, quiet: bool) -> int:
    from tercet.cli.download_bar import download_bar
    from tercet.hub.pull import pull_model

    def pull(name: str) -> None:
        with download_bar(name, quiet=quiet) as on_progress:
            path = pull_model(
                name, revision=revision, offline=offline or None, on_progress=on_progress
            )
        print(path)

    try:
        return _each(names, pull)
    except KeyboardInterrupt:
        kept = "stopped; what has arrived is kept, and the same command goes on from there"
        raise KeyboardInterrupt(kept) from None


def _remove(names: Sequence[str]) -> int:
    from tercet.hub.removal import remove_model

    return _each(names, lambda name: print(f"{name}: {remove_model(name) / 1e6:.1f} MB freed"))


def _path(name: str) -> int:
    from tercet.hub.find import as_path, describe_absence, find_here

    def show(name: str) -> None:
        path = as_path(name) or find_here(name)
        if path is None:
            absence = describe_absence(name)
            raise ModelNotFoundError(f"{absence}; this fetches it: tercet models pull {name}")
        print(path)

    return _each([name], show)


def _each(names: Sequence[str], act: Callable[[str], None]) -> int:
    """Do it for every name; one that fails is a line, and the others go on."""
    failures = 0
    for name in dict.fromkeys(names):
        try:
            act(name)
        except TercetError as error:
            print(f"tercet: {' '.join(str(error).split())}", file=sys.stderr)
            failures += 1
    return exit_codes.FAILED if failures else exit_codes.OK
