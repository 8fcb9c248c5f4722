"""What a model works with: its engine's parts, its tokenizer, its heads. Hears nothing."""

from dataclasses import dataclass

from tercet.engine.heads import Heads, OpenCodes, OpenTags
from tercet.engine.protocol import Decoder, Encoder
from tercet.errors import HeadError
from tercet.longform.passes import READINGS, TAGS, TEXT, TOKENS
from tercet.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """Everything that hears, and how much of it is done at once."""

    name: str
    encoder: Encoder
    decoder: Decoder
    tokenizer: Tokenizer
    heads: Heads
    batch_size: int
    overlap: bool
    true_length: bool = (
        False  # windows are heard for text as long as they are (`Generation.true_length`)
    )

    @property
    def readings(self) -> tuple[str, ...]:
        """What can be read."""
        there = {
            TEXT: True,
            TAGS: self.heads.tags is not None,
            TOKENS: self.heads.codes is not None,
        }
        return tuple(reading for reading in READINGS if there[reading])

    @property
    def tags(self) -> OpenTags:
        """The tag head.

        Raises:
            HeadError: there is none.
        """
        if self.heads.tags is None:
            raise HeadError(
                f"model {self.name!r} has no tag head{self._aside}; give one: load_model(..., tags=FILE), "
                "--tags FILE"
            )
        return self.heads.tags

    @property
    def codes(self) -> OpenCodes:
        """The quantizer.

        Raises:
            HeadError: there is none.
        """
        if self.heads.codes is None:
            raise HeadError(
                f"model {self.name!r} has no quantizer{self._aside}; give one: load_model(..., tokens=FILE), "
                "--tokens FILE"
            )
        return self.heads.codes

    @property
    def _aside(self) -> str:
        """Why there is none, where one lies beside the model."""
        if not self.heads.are_aside:
            return ""
        return " for its encoder with the adapter (its own is for the encoder without; leave --adapter out)"
