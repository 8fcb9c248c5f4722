"""The keys of a draft's recipe. What they do is done elsewhere; here they are checked."""

from dataclasses import dataclass, field
from typing import Literal

from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe, at_least
from tercet.train.text.recipe import DataRecipe

Stored = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortlistRecipe:
    """Which tokens may be proposed: the most frequent ones."""

    size: int = 16_000  # besides timestamps; what a step costs grows with it
    corpora: tuple[
        str, ...
    ] = ()  # texts that are counted beside the labels; files under `data.root`
    labels_share: float = 0.5  # of the labels in the counts; the corpora share the rest
    rank: int = 128  # of the space in which the likeliest are looked for; 0: all are scored

    def __post_init__(self) -> None:
        at_least("size", self.size, 1)
        at_least("rank", self.rank, 0)
        if not 0 <= self.labels_share <= 1:
            raise OptionError(f"labels_share is {self.labels_share}; give 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLossRecipe:
    """Weights of the losses of one guess."""

    cross_entropy: float = 0.5  # with the teacher's text
    divergence: float = 1.0  # from what the teacher expects
    temperature: float = 1.0  # of the divergence
    hidden: float = 0.2  # smooth L1 distance of the hidden state from the teacher's
    depth: int = 3  # tokens in a row that are guessed, each from the draft's own state before
    depth_from: float = 0.5  # share of the run before which only the first one is
    decay: float = 0.8  # weight of each guess relative to the one before
    dropout: float = 0.1  # share of what each half of the block adds

    def __post_init__(self) -> None:
        for name, least in (("cross_entropy", 0), ("divergence", 0), ("hidden", 0), ("depth", 1)):
            at_least(name, getattr(self, name), least)
        if not self.cross_entropy + self.divergence > 0:
            raise OptionError("cross_entropy and divergence are 0; there is nothing to learn")
        for name, value in (("temperature", self.temperature), ("decay", self.decay)):
            if not value > 0:
                raise OptionError(f"{name} is {value}; give a number above 0")
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is {self.dropout}; give 0 to below 1")
        if not 0 <= self.depth_from <= 1:
            raise OptionError(f"depth_from is {self.depth_from}; give 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRecipe:
    """A whole recipe."""

    name: str = "draft"
    licence: str = ""
    source: str = ""  # for the file; "": the recipe's name
    teacher: str = "base"  # whose text is guessed
    layer: int = -1  # of the teacher's decoder, whose cross-attention's keys and values are read
    data: DataRecipe
    shortlist: ShortlistRecipe = field(default_factory=ShortlistRecipe)
    loss: DraftLossRecipe = field(default_factory=DraftLossRecipe)
    remember_mb: int = 1000  # of the teacher's hidden states, so that it reads each text once
    valid_depth: int = 4  # guesses in a row that validation counts
    stored: Stored = "int8"
    loop: LoopRecipe = field(default_factory=LoopRecipe)

    def __post_init__(self) -> None:
        at_least("remember_mb", self.remember_mb, 0)
        at_least("valid_depth", self.valid_depth, 1)
        if not self.data.cached or self.data.length != "30s":
            raise OptionError(
                "a draft hears the states that its decoder hears; leave data.cached = true and "
                'data.length = "30s"'
            )
        if self.loop.compile:
            raise OptionError("loop.compile is for train text; leave it out")
