"""`tercet detokenize`: files of speech tokens in, text out, in the formats of `tercet listen`."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercet.cli.inputs import Input, Kind, find
from tercet.cli.listening import hearing_form
from tercet.cli.listening.results import Result
from tercet.cli.listening.run import run as run_work
from tercet.cli.listening.work import Finished, OnProgress, Work
from tercet.cli.options.groups import CommandOptions, DraftOptions, TokenHeadOptions, output_format
from tercet.cli.options.parser import CommandWords
from tercet.cli.options.text_groups import LanguageOptions
from tercet.dataset.token_files import SUFFIXES, read_tokens
from tercet.dataset.token_json import of_json_lines
from tercet.dataset.token_text import parse_token_text
from tercet.dataset.token_windows import of_unknown_codebook
from tercet.errors import TercetError, TokensError
from tercet.results import Progress, SpeechTokens
from tercet.text.captions import FORMATS

if TYPE_CHECKING:
    from tercet.listener import Model

_FILES = Kind("file of speech tokens", frozenset(SUFFIXES))
_RATE_HZ = 25.0  # of a text, which does not say


@dataclass(frozen=True, kw_only=True)
class DetokenizeOptions(LanguageOptions, DraftOptions, TokenHeadOptions, CommandOptions):
    """The options of `tercet detokenize`, checked one by one and together."""

    output_format: tuple[str, ...] = output_format("txt", FORMATS)

    @property
    def idle_heads(self) -> tuple[str, ...]:
        """The other reading's."""
        return ("tags",)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.detokenize`."""
        return {"language": self.language, "task": self.task}


class Detokenizing(Work):
    """The text of each recording in each file."""

    form = hearing_form.FORM

    def __init__(self, options: DetokenizeOptions) -> None:
        super().__init__(options)
        self._options = options

    def begin(self, model: "Model") -> None:
        """Take the model, and refuse what it cannot be asked for before a file is read.

        Raises:
            HeadError: it has no quantizer.
            OptionError: it does not know the language, or the task.
        """
        super().begin(model)
        model.detokenize((), **self._options.arguments())

    def settings(self) -> dict[str, Any]:
        """With which settings text is written."""
        return {
            "command": "detokenize",
            **self.model_settings(),
            **self._options.arguments(),
        }

    def many(self, inputs: Sequence[Input], on_progress: OnProgress) -> Iterator[Finished]:
        """One file after the other; one that cannot be read harms no other."""
        for index, entry in enumerate(inputs):
            outcome: Sequence[Result] | TercetError
            try:
                outcome = list(self._texts(entry, partial(_place, on_progress, index)))
            except TokensError as error:
                outcome = error
            yield index, outcome

    def live(self, entry: Input, on_progress: OnProgress) -> Iterator[Result]:
        """One file, recording by recording."""
        return self._texts(entry, on_progress)

    def _texts(self, entry: Input, on_progress: OnProgress) -> Iterator[Result]:
        done_s = 0.0
        taken: set[str | None] = set()
        for name, tokens in _read(entry):
            report = partial(_add, on_progress, done_s)
            found = self.model.detokenize(tokens, on_progress=report, **self._options.arguments())
            done_s += found.duration_s
            part = _part(name, tokens, entry, taken)
            extra = {} if part is None else {"name": name}
            yield Result(replace(found, channel=tokens.channel), part, extra)


def _read(entry: Input) -> Iterator[tuple[str, SpeechTokens]]:
    """Every recording of a file, or of standard input: text, or JSON with an object per line."""
    if not entry.is_stdin:
        return read_tokens(entry.source)
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise TokensError("stdin: is no text in UTF-8") from None
    if text.lstrip().startswith(("{", "[")):
        return of_json_lines(text.splitlines(), name="stdin", source="stdin")
    groups = parse_token_text(text, name="stdin").groups
    tokens = of_unknown_codebook(groups, depth=1, rate_hz=_RATE_HZ, name="stdin")
    return iter([("stdin", tokens)])


def _part(name: str, tokens: SpeechTokens, entry: Input, taken: set[str | None]) -> str | None:
    """What tells a recording's text from the others of its file; None where the file's name says it."""
    stem = Path(entry.file_name).stem
    channel = None if tokens.channel is None else f"ch{tokens.channel}"
    words = [] if name == stem else [re.sub(r"[/\\:]+", "-", name).strip("-.")]
    if channel is not None and not (stem == channel or stem.endswith(f".{channel}")):
        words.append(channel)
    wanted = ".".join(filter(None, words)) or None
    part, n = wanted, 1
    while part in taken:
        n += 1
        part = str(n) if wanted is None else f"{wanted}-{n}"
    taken.add(part)
    return part


def _place(on_progress: OnProgress, index: int, progress: Progress) -> None:
    on_progress(replace(progress, source_index=index))


def _add(on_progress: OnProgress, before_s: float, progress: Progress) -> None:
    on_progress(replace(progress, done_s=before_s + progress.done_s))


WORDS = CommandWords(
    program="tercet detokenize",
    options=DetokenizeOptions,
    help=(
        "Write down what speech tokens say.",
        "FILES are what tercet tokenize writes (.txt, .json, .jsonl, .parquet), folders (searched "
        "for them, with everything below), patterns, or - for standard input. The text is printed, or "
        "written as files with --output_dir.",
        "  tercet detokenize talk.txt --tokens my-codes.safetensors\n"
        "  tercet detokenize table/ -f jsonl --tokens my-codes.safetensors",
        "In options' names - and _ are the same.",
    ),
    epilog=(
        "Exit code: 0, 1 (an input failed, the others were read), 2 (usage), 130 (Ctrl-C). "
        "More: docs/cli.md."
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return run_work(argv, WORDS, Detokenizing, find_inputs=partial(find, kind=_FILES))
