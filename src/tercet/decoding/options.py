"""What a transcript may look like: the options of one decoding run, checked when they are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from tercet.errors import OptionError
from tercet.text.tokenizer import TIMESTAMP_STEP_S

TASKS = ("transcribe", "translate")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """openai-whisper's `DecodingOptions`, without what belongs to other roles (temperature, seed, beams)."""

    task: str = "transcribe"
    language: str | None = None  # code; None: detect
    suppress_tokens: str | Sequence[int] = "-1"  # ids; "-1" among them: symbols that nobody speaks
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0  # seconds
    max_tokens: int | None = None  # per window; None: half of the text context

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise OptionError(f"task is {self.task!r}; give 'transcribe' or 'translate'")
        object.__setattr__(self, "suppress_tokens", _ids_of(self.suppress_tokens))
        latest = self.max_initial_timestamp
        if latest is not None and not 0 <= latest <= 30:
            raise OptionError(f"max_initial_timestamp is {latest!r}; give 0 to 30 seconds, or None")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise OptionError(f"max_tokens is {self.max_tokens!r}; give 1 or more, or None")

    @property
    def max_initial_index(self) -> int | None:
        """The latest first timestamp, in steps of 0.02 s."""
        if self.max_initial_timestamp is None:
            return None
        return round(self.max_initial_timestamp / TIMESTAMP_STEP_S)


def _ids_of(given: str | Sequence[int]) -> tuple[int, ...]:
    """Ids from "1,2,3" or a list; -1 stays and is expanded by the rules."""
    try:
        parts = [part for part in given.split(",") if part.strip()] if isinstance(given, str) else given
        return tuple(int(part) for part in parts)
    except (TypeError, ValueError) as fault:
        message = f"suppress_tokens is {given!r}; give token ids such as '1,2', '-1', or ''"
        raise OptionError(message) from fault
