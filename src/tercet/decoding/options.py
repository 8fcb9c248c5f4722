"""What a transcript may look like: the options of one decoding run, checked when they are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tercet.errors import OptionError
from tercet.text.tokenizer import TIMESTAMP_STEP_S

TASKS = ("transcribe", "translate")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """openai-whisper's `DecodingOptions`, without what belongs to other roles.

    Temperature, seed, languages and prompts differ from row to row or from attempt to attempt, so
    `decode` takes them.

    Differs from openai/whisper: `max_initial_timestamp=0` means "the first segment starts at 0"
    (there, 0 switches the limit off, as None does here).
    """

    task: str = "transcribe"
    language: str | None = None  # code; None: detect
    # Token ids; -1 among them stands for the symbols that nobody speaks.
    suppress_tokens: str | Sequence[int] | None = "-1"
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0  # seconds
    max_tokens: int | None = None  # per window; None: half of the text context

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise OptionError(f"task is {self.task!r}; give 'transcribe' or 'translate'")
        object.__setattr__(self, "suppress_tokens", _ids_of(self.suppress_tokens))
        latest = self.max_initial_timestamp
        if latest is not None and not (_is_number(latest) and 0 <= latest <= 30):
            raise OptionError(f"max_initial_timestamp is {latest!r}; give 0 to 30 seconds, or None")
        most = self.max_tokens
        if most is not None and not (_is_number(most) and most >= 1 and most == int(most)):
            raise OptionError(f"max_tokens is {most!r}; give a whole number from 1 on, or None")

    @property
    def suppressed_ids(self) -> tuple[int, ...]:
        """`suppress_tokens` as ids, -1 not yet replaced."""
        assert isinstance(self.suppress_tokens, tuple)  # made so above
        return self.suppress_tokens

    @property
    def max_initial_index(self) -> int | None:
        """The latest first timestamp, in steps of 0.02 s."""
        if self.max_initial_timestamp is None:
            return None
        return round(self.max_initial_timestamp / TIMESTAMP_STEP_S)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ids_of(given: str | Sequence[int] | None) -> tuple[int, ...]:
    """Ids from "1,2,3", a list or nothing."""
    if given is None:
        return ()
    try:
        split = isinstance(given, str)
        parts = [part for part in given.split(",") if part.strip()] if split else given  # type: ignore[union-attr]
        ids = tuple(int(part) for part in parts)
    except (TypeError, ValueError) as fault:
        message = f"suppress_tokens is {given!r}; give token ids such as '1,2', '-1', or ''"
        raise OptionError(message) from fault
    if any(number < -1 for number in ids):
        raise OptionError(f"suppress_tokens is {given!r}; ids start at 0, only -1 has a meaning")
    return ids
