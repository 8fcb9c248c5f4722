"""Rows on their way through the decoding loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tercet.decoding.array_gaps import Array


@dataclass(slots=True)
class Row:
    """A window and what was written for it so far."""

    number: int  # in the batch
    prompt: tuple[int, ...]  # what comes before <|startoftranscript|>
    language: str | None  # None until it is detected
    leader: int  # the row whose language counts where this one's is not given
    limit: int = 0  # how many tokens it may write
    language_probability: float | None = None
    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0
    no_speech_prob: float = 0.0
    is_done: bool = False


# Picks one more token for each of some rows, from logits [rows, vocabulary], which it may write into.
Write = Callable[[Array, Sequence[Row]], None]
