"""`tercet tag`: recordings in, sound events out. Writes down nothing that is said (`tercet listen`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from tercet.cli.inputs import Input
from tercet.cli.listening.one_by_one import one_by_one
from tercet.cli.listening.results import Form, Rendered, Result, results_of
from tercet.cli.listening.run import run as run_work
from tercet.cli.listening.work import Finished, OnProgress, Work
from tercet.cli.options import values
from tercet.cli.options.groups import (
    ChannelOptions,
    CommandOptions,
    TagHeadOptions,
    output_format,
)
from tercet.cli.options.parser import CommandWords
from tercet.cli.options.reading_groups import TAGS, TagOptions
from tercet.cli.options.table import valued
from tercet.results import Hearing, SoundEvents
from tercet.text import event_formats

_GRID = "npz"


@dataclass(frozen=True, kw_only=True)
class TagCommandOptions(TagOptions, ChannelOptions, TagHeadOptions, CommandOptions):
    """The options of `tercet tag`, checked one by one and together."""

    output_format: tuple[str, ...] = output_format(
        "txt", (*event_formats.FORMATS, _GRID), in_all=event_formats.FORMATS
    )
    match: str | None = valued(
        TAGS, "None", values.or_none(values.choice("whisper-at")), "whisper-at",
        "whisper-at: the numbers of the published package; None: this one's.",
    )  # fmt: skip

    @property
    def idle_heads(self) -> tuple[str, ...]:
        """Those of other readings."""
        return ("tokens", "draft")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Model.tag`; `match` is among them where it is given."""
        return {"channel": self.channel, **self.tag_arguments()}


def _render(value: Hearing | SoundEvents, format_name: str, extra: Mapping[str, str]) -> Rendered:
    events = value.tags if isinstance(value, Hearing) else value
    assert events is not None  # nothing else was asked for
    if format_name == _GRID:
        return _grid(events)
    if format_name == "json":
        return event_formats.json_object(events, extra)
    if format_name == "jsonl":
        return event_formats.json_lines(events, extra)
    return event_formats.render(events, format_name)


def _grid(events: SoundEvents) -> bytes:
    """The frame grid for NumPy: scores [rows, labels], labels, and where the rows lie, in seconds."""
    import numpy as np

    file = BytesIO()
    np.savez(
        file,
        scores=events.frames,
        labels=np.array(events.labels),
        frame_s=np.float64(events.frame_s),
        start_s=np.float64(events.start_s),
        duration_s=np.float64(events.duration_s),
    )
    return file.getvalue()


class Tagging(Work):
    """The sound events of each recording."""

    form = Form(
        render=_render,
        joinable=("txt", "json", "jsonl"),
        live=("txt", "jsonl"),
        filed_only=(_GRID,),
        extensions={"audacity": "audacity.txt"},  # Audacity opens .txt
    )

    def __init__(self, options: TagCommandOptions) -> None:
        super().__init__(options)
        self._options = options

    def settings(self) -> dict[str, Any]:
        """What is read, and with which settings."""
        return {
            "command": "tag",
            **self.model_settings(),
            **self._options.arguments(),
        }

    def many(self, inputs: Sequence[Input], on_progress: OnProgress) -> Iterator[Finished]:
        """Each recording as it is finished."""
        if self._options.match is not None:
            return one_by_one(self.model.tag, inputs, on_progress, self._options.arguments())
        outcomes = self.model.listen_many(
            [entry.source for entry in inputs],
            only=("tags",),
            on_progress=on_progress,
            **self._options.arguments(),
        )
        return ((index, results_of(outcome)) for index, outcome in outcomes)

    @property
    def is_streamed(self) -> bool:
        """The published package hears whole recordings."""
        return self._options.match is None

    def live(self, entry: Input, on_progress: OnProgress) -> Iterator[Result]:
        """One recording, window by window."""
        parts = self.model.stream(
            entry.source, only=("tags",), on_progress=on_progress, **self._options.arguments()
        )
        return (Result(part) for part in parts)


WORDS = CommandWords(
    program="tercet tag",
    options=TagCommandOptions,
    help=(
        "Find the sounds in recordings: what, from when to when, how surely.",
        "FILES are audio or video files, folders (searched for audio, with everything below them), "
        "patterns ('street/**/*.ogg'), or - for standard input. Events are printed, or written as "
        "files with --output_dir. npz holds the scores of all sounds for NumPy.",
        "  tercet tag street.ogg --tags my-tags.safetensors\n"
        "  tercet tag street/ -o out -f json,audacity --tags my-tags.safetensors\n"
        "  tercet tag yard.wav --labels Bark,Speech --threshold Bark=0.3,Speech=0.6",
        "In options' names - and _ are the same.",
    ),
    epilog=(
        "Exit code: 0, 1 (an input failed, the others were heard), 2 (usage), 130 (Ctrl-C). "
        "More: docs/cli.md."
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return run_work(argv, WORDS, Tagging)
