"""Heads that some engine has opened: what a model can read beside text. Decides nothing about reading."""

from dataclasses import dataclass

from tercet.checkpoint.heads import Quantizer, TagHead
from tercet.engine.protocol import Coder, TagScorer


@dataclass(frozen=True, slots=True)
class OpenTags:
    """A tag head and what runs it."""

    head: TagHead
    scorer: TagScorer


@dataclass(frozen=True, slots=True)
class OpenCodes:
    """A quantizer, what runs it, and its codebook's fingerprint."""

    head: Quantizer
    coder: Coder
    codebook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The heads of one model; None where it has no such reading."""

    tags: OpenTags | None = None
    codes: OpenCodes | None = None
    are_aside: bool = (
        False  # some came with the model, for its encoder as it is without the adapter
    )
