"""`tercet tokenize`: recordings in, speech tokens out: files, or one Parquet table of a whole corpus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tercet.cli.inputs import Input
from tercet.cli.listening import delivery
from tercet.cli.listening.one_by_one import one_by_one
from tercet.cli.listening.progress import Screen
from tercet.cli.listening.results import Form, Rendered, Result, results_of
from tercet.cli.listening.run import run as run_work
from tercet.cli.listening.tabled import Tabled
from tercet.cli.listening.work import Finished, OnProgress, Work
from tercet.cli.options import values
from tercet.cli.options.groups import (
    AUDIO,
    ChannelOptions,
    CommandOptions,
    TokenHeadOptions,
    output_format,
)
from tercet.cli.options.parser import CommandWords
from tercet.cli.options.table import valued
from tercet.dataset.token_files import FORMATS, render_tokens
from tercet.errors import OptionError
from tercet.results import Hearing, SpeechTokens

_TABLE = "parquet"


@dataclass(frozen=True, kw_only=True)
class TokenizeOptions(ChannelOptions, TokenHeadOptions, CommandOptions):
    """The options of `tercet tokenize`, checked one by one and together."""

    output_format: tuple[str, ...] = output_format("txt", (*FORMATS, _TABLE), in_all=FORMATS)
    match: str | None = valued(
        AUDIO, "None", values.or_none(values.choice("ichigo")), "ichigo",
        "ichigo: the codes of the published package, of the first 30 s; None: of all of it.",
    )  # fmt: skip

    @property
    def idle_heads(self) -> tuple[str, ...]:
        """Those of other readings."""
        return ("tags", "draft")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.tokenize`, `match` aside."""
        return {"channel": self.channel}

    def check(self) -> None:
        """A table is a folder's, not a recording's: it goes alone."""
        super().check()
        if _TABLE in self.output_format and len(self.output_format) > 1:
            raise OptionError("--output_format parquet goes alone; run once more for the others")


def tokens_of(value: object) -> SpeechTokens:
    """The speech tokens of a result."""
    tokens = value.speech_tokens if isinstance(value, Hearing) else value
    assert isinstance(tokens, SpeechTokens)  # nothing else was asked for
    return tokens


def _with_codes(parts: Iterable[Result]) -> Iterator[Result]:
    """The parts that hold codes; of a recording without any, the last one."""
    has_codes, last = False, None
    for last in parts:
        if len(tokens_of(last.value)):
            has_codes = True
            yield last
    if not has_codes and last is not None:
        yield last


def _render(value: object, format_name: str, extra: Mapping[str, str]) -> Rendered:
    return render_tokens(tokens_of(value), format_name, file=extra.get("file"))


class Tokenizing(Work):
    """The speech tokens of each recording."""

    # A line of jsonl says how many windows there are: nothing of it is known before the end.
    form = Form(
        render=_render, joinable=("txt", "json", "jsonl"), live=("txt",), filed_only=(_TABLE,)
    )

    def __init__(self, options: TokenizeOptions) -> None:
        super().__init__(options)
        self._options = options

    def settings(self) -> dict[str, Any]:
        """What is read, and with which settings."""
        return {
            "command": "tokenize",
            **self.model_settings(),
            **self._options.arguments(),
            "match": self._options.match,
        }

    def many(self, inputs: Sequence[Input], on_progress: OnProgress) -> Iterator[Finished]:
        """Each recording as it is finished."""
        if self._options.match is not None:
            given = {**self._options.arguments(), "match": self._options.match}
            return one_by_one(self.model.tokenize, inputs, on_progress, given)
        outcomes = self.model.listen_many(
            [entry.source for entry in inputs],
            only=("tokens",),
            on_progress=on_progress,
            **self._options.arguments(),
        )
        return ((index, results_of(outcome)) for index, outcome in outcomes)

    @property
    def is_streamed(self) -> bool:
        """The published package hears whole recordings."""
        return self._options.match is None

    def live(self, entry: Input, on_progress: OnProgress) -> Iterator[Result]:
        """One recording, window by window.

        A window too short for a code leaves no trace; a recording of nothing else has its empty one.
        """
        parts = self.model.stream(
            entry.source, only=("tokens",), on_progress=on_progress, **self._options.arguments()
        )
        return _with_codes(Result(part) for part in parts)


def _deliver(work: Work, inputs: Sequence[Input], screen: Screen) -> delivery.Delivery:
    folder = work.common.output_dir
    if folder is not None and _TABLE in work.common.output_format:
        return Tabled(work, folder, inputs, screen, tokens_of=tokens_of)
    return delivery.choose(work, inputs, screen)


WORDS = CommandWords(
    program="tercet tokenize",
    options=TokenizeOptions,
    help=(
        "Turn recordings into speech tokens: codes of a codebook, 25 a second.",
        "FILES are audio or video files, folders (searched for audio, with everything below them), "
        "patterns ('talks/**/*.mp3'), or - for standard input. Tokens are printed, or written as "
        "files with --output_dir; parquet makes one table of a whole corpus there.",
        "  tercet tokenize talk.mp3 --tokens my-codes.safetensors\n"
        "  tercet tokenize corpus/ -o table -f parquet --resume --tokens my-codes.safetensors",
        "In options' names - and _ are the same. Back to text: tercet detokenize.",
    ),
    epilog=(
        "Exit code: 0, 1 (an input failed, the others were heard), 2 (usage), 130 (Ctrl-C). "
        "More: docs/cli.md."
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return run_work(argv, WORDS, Tokenizing, deliver=_deliver)
