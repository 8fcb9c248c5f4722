"""The words of `tercet listen` -> its options. typer draws the help; `options.py` is the table."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tercet.cli.flags import normalise
from tercet.cli.options import Flag, ListenOptions, flag_table, flags, from_texts
from tercet.errors import OptionError

_PROGRAM = "tercet listen"
# One paragraph per string: typer keeps line ends inside a paragraph as they are.
_HELP = "\n\n".join(
    (
        "Write down what is said in recordings.",
        "FILES are audio or video files, folders (searched for audio, with everything below them), "
        "patterns ('talks/**/*.mp3'), or - for standard input. The text is printed, or written as "
        "files with --output_dir. Results come in the order of FILES.",
        "  tercet listen talk.mp3\n"
        "  tercet listen talk.mp3 -f srt > talk.srt\n"
        "  tercet listen talks/ -o out -f srt,json",
        "Options are openai-whisper's where it has them. In their names - and _ are the same; "
        "True can be left out: --vad_filter, --no-vad-filter, --vad-filter=False.",
    )
)
_EPILOG = (
    "Exit code: 0, 1 (an input failed, the others were heard), 2 (usage), 130 (Ctrl-C). "
    "All about formats, names of files and flags that come later: docs/cli.md."
)


def parse(argv: Sequence[str]) -> ListenOptions | None:
    """Read a command line; None when it asked for help, which is then printed.

    Raises:
        OptionError: the command line cannot be understood, in one line.
    """
    words = normalise(argv, flag_table())
    try:
        result = typer.main.get_command(_app()).main(
            args=words, prog_name=_PROGRAM, standalone_mode=False
        )
    except Exception as error:
        # typer carries its own copy of click in newer versions and click's classes in older ones:
        # a usage error is known by what it can do.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        raise OptionError(" ".join(str(describe()).split())) from None
    if not isinstance(result, ListenOptions):
        return None
    if not result.files:
        raise OptionError("no files; name files, folders, patterns, or - for standard input")
    return result


def _app() -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    settings = {"help_option_names": ["--help", "-h"]}
    app.command(help=_HELP, epilog=_EPILOG, context_settings=settings)(_command())
    return app


def _command() -> Any:
    """A function with one text parameter per option, as typer wants it."""

    def listen(files: list[str] | None = None, **texts: str) -> ListenOptions:
        return from_texts(tuple(files or ()), texts)

    argument = typer.Argument(metavar="FILES", hidden=True, show_default=False)
    parameters = [
        inspect.Parameter(
            "files",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, argument],
        ),
        *(_parameter(name, flag) for name, flag in flags().items()),
    ]
    listen.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    listen.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return listen


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
