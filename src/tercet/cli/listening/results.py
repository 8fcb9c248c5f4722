"""What a recording gave, and how a command writes it: formats, and what of them can be printed when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tercet.errors import TercetError

Outcome = Any  # a result, a tuple of one per channel, or a TercetError
Rendered = str | bytes


class Result(NamedTuple):
    """One result of one input; each channel has its own, and each recording of a corpus file."""

    value: Any  # Transcript, Hearing, SoundEvents or SpeechTokens
    part: str | None = (
        None  # what tells it from the input's other results, in names of files: "ch0"
    )
    extra: Mapping[str, str] = {}  # keys of its JSON that say where it is from

    def beside(self, extra: Mapping[str, str]) -> "Result":
        """The same with further keys."""
        return self._replace(extra={**extra, **self.extra})


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a command's results are written. `render` takes the result, the format and further JSON keys."""

    render: Callable[[Any, str, Mapping[str, str]], Rendered]
    # Of several results, these can still be told apart when they follow each other on stdout.
    joinable: Sequence[str]
    live: Sequence[str] = ()  # whose beginning is right before the end is known
    filed_only: Sequence[str] = ()  # nothing that a terminal should show
    extensions: Mapping[str, str] = field(default_factory=dict)  # where it is not the format's name

    def extension(self, format_name: str) -> str:
        """What a file in this format is called behind its name."""
        return self.extensions.get(format_name, format_name)


def results_of(outcome: Outcome) -> tuple[Result, ...] | TercetError:
    """A model's outcome as results; each channel's knows its number."""
    if isinstance(outcome, TercetError):
        return outcome
    values = outcome if isinstance(outcome, tuple) else (outcome,)
    return tuple(
        Result(value, None if value.channel is None else f"ch{value.channel}") for value in values
    )
