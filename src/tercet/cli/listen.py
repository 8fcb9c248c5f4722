"""`tercet listen`: recordings in, text out. Hears through `tercet.load_model`, as anybody would."""

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from tercet.cli import exit_codes
from tercet.cli.delivery import Delivery, choose
from tercet.cli.download_bar import download_bar
from tercet.cli.inputs import Input, find
from tercet.cli.options import ListenOptions
from tercet.cli.outputs import close_stdout
from tercet.cli.parser import parse
from tercet.cli.progress import Screen, clock_text
from tercet.errors import AudioError, ModelNotFoundError, OptionError, OutputError, TercetError
from tercet.results import Transcript
from tercet.text.captions import timestamp

if TYPE_CHECKING:
    from tercet.listener import Model


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. Errors go to stderr, one line each.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the line to show.
    """
    try:
        options = parse(argv)
    except OptionError as error:
        print(f"tercet listen: {error} (see tercet listen --help)", file=sys.stderr)
        return exit_codes.USAGE
    return exit_codes.OK if options is None else _listen(options)


def _listen(options: ListenOptions) -> int:
    inputs, unusable = find(options.files)
    screen = Screen(quiet=options.quiet, verbose=options.verbose)
    for argument in unusable:
        screen.error(str(argument.error))
    failures = len(unusable)
    try:
        with closing(choose(options, inputs, screen)) as delivery:
            failures += _hear_all(options, delivery, screen)
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        close_stdout()
        return exit_codes.FAILED
    except TercetError as error:
        screen.error(str(error))
        if isinstance(error, OutputError):
            close_stdout()
        is_usage = isinstance(error, (OptionError, ModelNotFoundError))
        return exit_codes.USAGE if is_usage else exit_codes.FAILED
    return exit_codes.FAILED if failures else exit_codes.OK


def _hear_all(options: ListenOptions, delivery: Delivery, screen: Screen) -> int:
    """Hear whatever is to be heard and deliver; returns how many failed."""
    import tercet

    failures = 0
    model: Model | None = None
    try:
        while inputs := delivery.todo():
            # Before hearing's own bar: the time to load, or to fetch, is not part of it.
            if model is None:
                with download_bar(options.model, quiet=options.quiet) as on_fetched:
                    arguments = options.load_arguments() | {"on_progress": on_fetched}
                    model = tercet.load_model(options.model, **arguments)
            with screen.progress(len(inputs)):
                hear = _hear_live if delivery.is_live else _hear
                failures += hear(model, options, inputs, delivery, screen)
            screen.summary()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {delivery.stop()}") from None
    return failures


def _hear(
    model: "Model",
    options: ListenOptions,
    inputs: Sequence[Input],
    delivery: Delivery,
    screen: Screen,
) -> int:
    """Hear the inputs together, each delivered when it is finished."""
    failures = 0
    outcomes = model.transcribe_many(
        [entry.source for entry in inputs],
        on_progress=screen.on_progress,
        **options.decoding_arguments(),
    )
    for index, outcome in outcomes:
        screen.finish(index)
        failures += not _deliver(index, outcome, inputs[index], delivery, screen)
    return failures


def _hear_live(
    model: "Model",
    options: ListenOptions,
    inputs: Sequence[Input],
    delivery: Delivery,
    screen: Screen,
) -> int:
    """Hear one recording, each window delivered when it is finished."""
    (entry,) = inputs
    parts = model.stream(
        entry.source, on_progress=screen.on_progress, **options.decoding_arguments()
    )
    has_speech = False
    last: Transcript | None = None
    try:
        for last in parts:
            has_speech = has_speech or bool(last.segments)
            _tell_segments(last, screen)
            delivery.take(0, (last,))
        screen.finish(0)
        if last is not None:
            _tell(last, entry, screen, has_speech=has_speech)
        delivery.finish(0)
    except (AudioError, OptionError) as error:
        screen.error(_naming(entry, error))
        delivery.give_up(0)
        return 1
    return 0


def _deliver(
    index: int,
    outcome: Transcript | tuple[Transcript, ...] | TercetError,
    entry: Input,
    delivery: Delivery,
    screen: Screen,
) -> bool:
    """Hand one outcome on; whether it went well."""
    if isinstance(outcome, TercetError):
        screen.error(_naming(entry, outcome))
        delivery.give_up(index)
        return False
    transcripts = (outcome,) if isinstance(outcome, Transcript) else outcome
    for transcript in transcripts:
        _tell(transcript, entry, screen, has_speech=bool(transcript.segments))
        _tell_segments(transcript, screen)
    try:
        delivery.take(index, transcripts)
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
    line = str(error)
    return line if entry.shown in line else f"{entry.shown}: {line}"


def _tell(transcript: Transcript, entry: Input, screen: Screen, *, has_speech: bool) -> None:
    """The notes on a recording: that it is empty; with --verbose its length and language."""
    channel = "" if transcript.channel is None else f", channel {transcript.channel}"
    name = f"{entry.shown}{channel}"
    if not has_speech:
        screen.note(f"{name}: no speech found")
    known = transcript.language_probability
    language = transcript.language if known is None else f"{transcript.language} ({known:.2f})"
    screen.detail(f"{name}: {clock_text(transcript.duration_s)}, language {language}")


def _tell_segments(transcript: Transcript, screen: Screen) -> None:
    """With --verbose, how each segment and window was heard."""
    for segment in transcript.segments:
        times = " --> ".join(
            timestamp(seconds, always_hours=False, decimal_mark=".")
            for seconds in (segment.start, segment.end)
        )
        screen.detail(f"[{times}] {segment.text.strip()}")
    for window in transcript.windows:
        if window.reason is not None:
            screen.detail(f"window {window.start_s:.2f}-{window.end_s:.2f} s: {window.reason}")
