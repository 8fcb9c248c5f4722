"""The run of a command that reads something with a model: inputs found, model opened, results delivered.

The same for every such command; what is read and how it is written is the command's `Work`.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from tercet.cli import exit_codes
from tercet.cli.download_bar import download_bar
from tercet.cli.inputs import Input, Unusable, find
from tercet.cli.licences import licence_notes
from tercet.cli.listening.delivery import Delivery, choose
from tercet.cli.listening.outputs import close_stdout
from tercet.cli.listening.progress import Screen
from tercet.cli.listening.results import Result
from tercet.cli.listening.telling import Told, is_empty, readings_in, tell, tell_details
from tercet.cli.listening.work import Work
from tercet.cli.options.groups import CommandOptions
from tercet.cli.options.parser import CommandWords, parse
from tercet.cli.wording import as_said_here
from tercet.errors import (
    AudioError,
    FingerprintError,
    HeadError,
    ModelNotFoundError,
    OptionError,
    OutputError,
    TercetError,
    TokensError,
)

# What the command line asks for cannot be had: no input is to blame.
_USAGE_ERRORS = (OptionError, ModelNotFoundError, HeadError, FingerprintError)
_INPUT_ERRORS = (AudioError, OptionError, TokensError)
O = TypeVar("O", bound=CommandOptions)  # noqa: E741
Find = Callable[[Sequence[str]], tuple[list[Input], list[Unusable]]]
Choose = Callable[[Work, Sequence[Input], Screen], Delivery]


def run(
    argv: Sequence[str],
    words: CommandWords[O],
    work_of: Callable[[O], Work],
    *,
    find_inputs: Find = find,
    deliver: Choose = choose,
) -> int:
    """Run a command; returns its exit code. Errors go to stderr, one line each.

    Args:
        argv: The words behind the command.
        words: What may be among them.
        work_of: The command's work, from its options.
        find_inputs: From FILES to inputs.
        deliver: Where results go.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        options = parse(argv, words)
    except OptionError as error:
        print(f"{words.program}: {error} (see {words.program} --help)", file=sys.stderr)
        return exit_codes.USAGE
    if options is None:
        return exit_codes.OK
    return _run(work_of(options), find_inputs, deliver)


def _run(work: Work, find_inputs: Find, deliver: Choose) -> int:
    inputs, unusable = find_inputs(work.common.files)
    screen = Screen(quiet=work.common.quiet, verbose=work.common.verbose)
    for argument in unusable:
        screen.error(str(argument.error))
    failures = len(unusable)
    try:
        with closing(deliver(work, inputs, screen)) as delivery:
            failures += _hear_all(work, delivery, screen)
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        close_stdout()
        return exit_codes.FAILED
    except TercetError as error:
        screen.error(as_said_here(error))
        if isinstance(error, OutputError):
            close_stdout()
        return exit_codes.USAGE if isinstance(error, _USAGE_ERRORS) else exit_codes.FAILED
    return exit_codes.FAILED if failures else exit_codes.OK


def _hear_all(work: Work, delivery: Delivery, screen: Screen) -> int:
    """Hear whatever is to be heard and deliver; returns how many failed."""
    failures = 0
    is_loaded = False
    try:
        while inputs := delivery.todo():
            # Before hearing's own bar: the time to load, or to fetch, is not part of it.
            if not is_loaded:
                _load(work, screen)
                is_loaded = True
            with screen.progress(len(inputs)):
                hear = _hear_live if delivery.is_live else _hear
                failures += hear(work, inputs, delivery, screen)
            screen.summary()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {delivery.stop()}") from None
    return failures


def _load(work: Work, screen: Screen) -> None:
    import tercet

    options = work.common
    with (
        download_bar(options.shown_names, quiet=options.quiet) as on_fetched,
        licence_notes(quiet=options.quiet, show=screen.say),
    ):
        arguments = options.load_arguments() | {"on_progress": on_fetched}
        work.begin(tercet.load_model(options.model, **arguments))


def _hear(work: Work, inputs: Sequence[Input], delivery: Delivery, screen: Screen) -> int:
    """Hear the inputs together, each delivered when it is finished."""
    failures = 0
    for index, outcome in work.many(inputs, screen.on_progress):
        screen.finish(index)
        failures += not _deliver(index, outcome, inputs[index], delivery, screen)
    return failures


def _hear_live(work: Work, inputs: Sequence[Input], delivery: Delivery, screen: Screen) -> int:
    """Hear one recording, each part delivered when it is finished."""
    (entry,) = inputs
    parts = work.live(entry, screen.on_progress)
    last: dict[type, Told] = {}  # of each reading
    found: set[type] = set()
    try:
        for result in parts:
            for reading in readings_in(result.value):
                last[type(reading)] = reading
                if not is_empty(reading):
                    found.add(type(reading))
                tell_details(reading, screen)
            delivery.take(0, (result,))
        screen.finish(0)
        for kind, reading in last.items():
            tell(reading, entry, screen, is_empty=kind not in found)
        delivery.finish(0)
    except _INPUT_ERRORS as error:
        screen.error(_naming(entry, error))
        delivery.give_up(0)
        return 1
    return 0


def _deliver(
    index: int,
    outcome: Sequence[Result] | TercetError,
    entry: Input,
    delivery: Delivery,
    screen: Screen,
) -> bool:
    """Hand one outcome on; whether it went well."""
    if isinstance(outcome, TercetError):
        screen.error(_naming(entry, outcome))
        delivery.give_up(index)
        return False
    for result in outcome:
        for reading in readings_in(result.value):
            tell(reading, entry, screen, is_empty=is_empty(reading))
            tell_details(reading, screen)
    try:
        delivery.take(index, outcome)
        delivery.finish(index)
    except OutputError as error:
        if not delivery.goes_on:
            raise
        screen.error(_naming(entry, error))
        return False
    except AudioError as error:
        screen.error(_naming(entry, error))
        return False
    return True


def _naming(entry: Input, error: TercetError) -> str:
    """The error's line; it names the input once."""
    line = as_said_here(error)
    return line if entry.shown in line else f"{entry.shown}: {line}"
