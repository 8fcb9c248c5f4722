"""`tercet listen`: recordings in; text, sound events and speech tokens out, from one pass over each.

Hears through `tercet.load_model`, as anybody would.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tercet.cli.inputs import Input
from tercet.cli.listening import hearing_form
from tercet.cli.listening.hearing_form import TIMELINE
from tercet.cli.listening.results import Result, results_of
from tercet.cli.listening.run import run as run_work
from tercet.cli.listening.work import Finished, OnProgress, Work
from tercet.cli.options.groups import (
    NO_HEAD,
    OUTPUT,
    AudioOptions,
    CommandOptions,
    DraftOptions,
    TagHeadOptions,
    TokenHeadOptions,
)
from tercet.cli.options.later import LATER_FLAGS
from tercet.cli.options.parser import CommandWords
from tercet.cli.options.reading_groups import (
    CAPTIONS,
    TAGS,
    CaptionOptions,
    ReadingOptions,
    TagOptions,
)
from tercet.cli.options.table import valued
from tercet.cli.options.text_groups import (
    RETRY,
    TEXT,
    VAD,
    RetryOptions,
    TextOptions,
    VadOptions,
)
from tercet.cli.options.values import READINGS, formats
from tercet.errors import OptionError
from tercet.results import Hearing
from tercet.text.captions import FORMATS

if TYPE_CHECKING:
    from tercet.listener import Model


_AUTO = "auto"
_FORMATS = (*FORMATS, TIMELINE)
_WHOLE = frozenset({"json", "jsonl", TIMELINE})  # formats that show all readings
_CAPTIONS = frozenset({"srt", "vtt"})


def _formats(text: str) -> tuple[str, ...]:
    return (_AUTO,) if text.lower() == _AUTO else formats(_FORMATS, FORMATS)(text)


@dataclass(frozen=True, kw_only=True)
class ListenOptions(
    CaptionOptions,
    TagOptions,
    VadOptions,
    RetryOptions,
    TextOptions,
    AudioOptions,
    ReadingOptions,
    DraftOptions,
    TokenHeadOptions,
    TagHeadOptions,
    CommandOptions,
):
    """The options of `tercet listen`, checked one by one and together."""

    output_format: tuple[str, ...] = valued(
        OUTPUT, _AUTO, _formats, "LIST",
        f"{', '.join(_FORMATS)}, or all (but timeline); auto: timeline on a terminal, else txt.",
        "--format", "-f",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Choose the format where nobody did: what follows knows real ones alone."""
        if self.output_format == (_AUTO,):
            is_shown = self.is_on_terminal and self.sounds != "only"
            object.__setattr__(self, "output_format", (TIMELINE,) if is_shown else ("txt",))

    @property
    def is_on_terminal(self) -> bool:
        """Whether people read the result as it is printed."""
        return self.output_dir is None and sys.stdout.isatty()

    @property
    def idle_heads(self) -> tuple[str, ...]:
        """Those of readings that nobody asked for, or that the chosen formats do not show."""
        needed = set(self._shown if self.only is None else self.only)
        if "text" in needed and self.gate is not False and self.match is None:
            needed.add("tags")  # the gate listens to the tag head
        idle = tuple(name for name in ("tags", "tokens") if name not in needed)
        return idle if "text" in needed else (*idle, "draft")

    @property
    def _shown(self) -> tuple[str, ...]:
        """What the formats show, and what was asked for by naming its head."""
        if self.longform == "chunked":
            return ("text",)
        if _WHOLE.intersection(self.output_format):
            return READINGS
        has_cues = _CAPTIONS.intersection(self.output_format) and self.sounds == "on"
        is_told = {"text": True, "tags": has_cues or self.sounds == "only", "tokens": False}
        return tuple(name for name in READINGS if is_told[name] or name in self.heads)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.listen_many` that decide what is found, `only` aside."""
        return {
            **self.decoding_arguments(),
            **self.retry_arguments(),
            **self.vad_arguments(),
            **self.audio_arguments(),
            **self.tag_arguments(),
        }

    def check(self) -> None:
        """An option of a reading that is not wanted would have no effect."""
        super().check()
        if self.longform == "chunked":
            self._check_idle(("text",), "--longform chunked, which hears text alone")
            if self.only not in (None, ("text",)):
                only = ",".join(self.only or ())
                raise OptionError(
                    f"--only {only} contradicts --longform chunked, which hears text alone; drop one of them"
                )
        if self.match is not None:
            self._check_match()
        if self.only is None:
            return
        only = ",".join(self.only)
        self._check_idle(self.only, f"--only {only}")
        of_text = hearing_form.of_text(self.output_format, self.sounds)
        if "text" not in self.only and of_text:
            raise OptionError(
                f"--output_format {of_text[0]} writes text, which --only {only} leaves out; "
                f"choose {' or '.join(hearing_form.WITHOUT_TEXT)}"
            )

    def _check_idle(self, readings: Sequence[str], reason: str) -> None:
        """No option may be about another reading."""
        idle = [] if "text" in readings else self.changed(TEXT, RETRY)
        idle += [] if "tags" in readings else [*self.changed(TAGS), *self.asks_for_sounds]
        named = [name for name, head in self.heads.items() if head != NO_HEAD]
        idle += [name for name in named if name not in readings]
        if idle:
            raise OptionError(f"--{idle[0]} has no effect with {reason}; drop one of them")

    def _check_match(self) -> None:
        """The pipeline tries once and judges nothing; what asks for that anyway is let through."""
        floor = [] if self.mel_floor == "window" else ["mel_floor"]
        changed = [name for name in self.changed(RETRY, VAD) if getattr(self, name)]
        if idle := [*changed, *floor]:
            raise OptionError(
                f"--{idle[0]} has no effect with --match {self.match}, which tries once and judges nothing; "
                "drop one of them"
            )


class Listening(Work):
    """Text of each recording, and whatever else the model has heads for."""

    def __init__(self, options: ListenOptions) -> None:
        super().__init__(options)
        self.form = hearing_form.form_of(
            options.sounds, options.sound_names, on_terminal=options.is_on_terminal
        )
        self._options = options
        self._readings: Sequence[str] = ("text",)

    def settings(self) -> dict[str, Any]:
        """What is read, and with which settings."""
        only = {} if self._options.only is None else {"only": self._options.only}
        captions = {name: getattr(self._options, name) for name in self._options.changed(CAPTIONS)}
        return {**self.model_settings(), **self._options.arguments(), **only, **captions}

    def begin(self, model: "Model") -> None:
        """Find out what there is to read; what is asked for by name, the model may refuse later."""
        super().begin(model)
        # Options of events ask for events, and so do those of their captions.
        has_tags = model.has_tags or self._options.changed(TAGS) or self._options.asks_for_sounds
        there = {"text": True, "tags": has_tags, "tokens": model.has_tokens}
        if self._options.longform == "chunked":
            self._readings = ("text",)
        else:
            self._readings = self._options.only or [name for name in READINGS if there[name]]

    def many(self, inputs: Sequence[Input], on_progress: OnProgress) -> Iterator[Finished]:
        """Each recording as it is finished."""
        sources = [entry.source for entry in inputs]
        given = {"on_progress": on_progress, **self._options.arguments()}
        outcomes = (
            self.model.transcribe_many(sources, **given)
            if self._is_text_alone
            else self.model.listen_many(sources, only=self._readings, **given)
        )
        return ((index, results_of(outcome)) for index, outcome in outcomes)

    def live(self, entry: Input, on_progress: OnProgress) -> Iterator[Result]:
        """One recording, window by window."""
        given = {"on_progress": on_progress, **self._options.arguments()}
        parts = self.model.stream(entry.source, only=self._readings, **given)
        return (Result(self._alone(part)) for part in parts)

    @property
    def _is_text_alone(self) -> bool:
        return tuple(self._readings) == ("text",)

    def _alone(self, part: Hearing) -> object:
        """The transcript where nothing else is asked for: its formats have no trace of the rest."""
        return part.transcript if self._is_text_alone else part


WORDS = CommandWords(
    program="tercet listen",
    options=ListenOptions,
    help=(
        "Write down what is said in recordings, and what else is heard.",
        "FILES are audio or video files, folders (searched for audio, with everything below them), "
        "patterns ('talks/**/*.mp3'), or - for standard input. The text is printed, on a terminal with "
        "times and sounds, or written as files with --output_dir. Results come in the order of FILES.",
        "  tercet listen talk.mp3\n"
        "  tercet listen talk.mp3 -f srt > talk.srt\n"
        "  tercet listen talks/ -o out -f srt,json\n"
        "  tercet listen street.ogg --tags my-tags.safetensors -f json",
        "With --tags and --tokens, sound events and speech tokens come from the same pass, in json "
        "and jsonl.",
        "Options are openai-whisper's where it has them. In their names - and _ are the same; "
        "True can be left out: --vad_filter, --no-vad-filter, --vad-filter=False.",
    ),
    epilog=(
        "Exit code: 0, 1 (an input failed, the others were heard), 2 (usage), 130 (Ctrl-C). "
        "All about formats, names of files and flags that come later: docs/cli.md."
    ),
    later=LATER_FLAGS,
)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return run_work(argv, WORDS, Listening)
