"""The words of a command line -> its options. typer draws the help; each command's class is the table."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic

import typer

from tercet.cli.chosen import chosen
from tercet.cli.options.flags import normalise
from tercet.cli.options.later import LaterFlag
from tercet.cli.options.table import Flag, O, flag_table, flags, from_texts
from tercet.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class CommandWords(Generic[O]):
    """What a command is called, can be told, and says of itself."""

    program: str  # "tercet listen"
    options: type[O]
    # One paragraph per string: typer keeps line ends inside a paragraph as they are.
    help: tuple[str, ...]
    epilog: str
    what: str = "files, folders, patterns, or - for standard input"
    later: Mapping[str, LaterFlag] = field(default_factory=dict)


def parse(argv: Sequence[str], words: CommandWords[O]) -> O | None:
    """Read a command line; None when it asked for help, which is then printed.

    Raises:
        OptionError: the command line cannot be understood, in one line.
    """
    spelled = normalise(argv, flag_table(words.options, words.later))
    result = chosen(_app(words), spelled, program=words.program)
    if not isinstance(result, words.options):
        return None
    if not result.files:
        raise OptionError(f"no files; name {words.what}")
    return result


def _app(words: CommandWords[O]) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(
        help="\n\n".join(words.help),
        epilog=words.epilog,
        context_settings={"help_option_names": ["--help", "-h"]},
    )(_command(words.options))
    return app


def _command(options: type[O]) -> Any:
    """A function with one text parameter per option, as typer wants it."""

    def command(files: list[str] | None = None, **texts: str) -> O:
        return from_texts(options, tuple(files or ()), texts)

    argument = typer.Argument(metavar="FILES", hidden=True, show_default=False)
    parameters = [
        inspect.Parameter(
            "files",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, argument],
        ),
        *(_parameter(name, flag) for name, flag in flags(options).items()),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameter(name: str, flag: Flag) -> inspect.Parameter:
    option = typer.Option(
        f"--{name}",
        *flag.names,
        metavar=flag.shown,
        help=flag.help,
        rich_help_panel=flag.panel,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=flag.default,
        annotation=Annotated[str, option],
    )
