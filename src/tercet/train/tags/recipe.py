"""The keys of a tag head's recipe. What they do is done elsewhere; here they are checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe, at_least
from tercet.train.tags.scene import KINDS, Kind, SceneOptions

Role = Literal["sounds", "speech", "noises", "rooms"]
TAP_FRAMES = 20  # encoder states that a served tap averages: 0.4 s


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecipe:
    """One manifest of recordings, and which of its rows are held out for development."""

    manifest: str  # under `data.root`, or a path of its own
    role: Role = "sounds"
    label: str = ""  # only rows with this label; "": all
    field: str = ""  # the rows' field that decides ("name": the file's); "": nothing is held out
    held_out: tuple[
        str, ...
    ] = ()  # endings of its value: "4" holds out fold 4, "8" speaker so762-0038
    every: int = 1  # take every so many rows

    def __post_init__(self) -> None:
        if bool(self.field) != bool(self.held_out):
            raise OptionError("field and held_out belong together; give both, or neither")
        at_least("every", self.every, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """What is heard: either `sets`, of which scenes are mixed, or manifests of labelled clips."""

    encoded: str = ""  # folder of taps that several runs share; "": the run's own
    only_encoded: bool = False  # train on what `encoded` holds, and hear nothing more
    root: str = ""  # folder of relative manifests; "": TERCET_DATA, else the recipe's folder
    skip_broken: bool = False  # leave broken rows and missing recordings out, and say which
    sets: tuple[SetRecipe, ...] = ()
    train: str = ""  # clips: a manifest
    valid: str = ""
    held_out_field: str = ""  # clips from one manifest: as in `SetRecipe`
    held_out: tuple[str, ...] = ()
    class_list: str = ""  # AudioSet's class_labels_indices.csv, for manifests in its layout
    clip_s: float = 0.0  # clips are cut to this, the published way: no padding to 30 s; 0: padded
    tap_frames: int = (
        TAP_FRAMES  # encoder states that one tap averages; heads of others are not served
    )

    def __post_init__(self) -> None:
        if bool(self.sets) == bool(self.train):
            raise OptionError("give either [[data.sets]], or train (and valid)")
        if self.only_encoded and not self.encoded:
            raise OptionError("only_encoded needs a folder; give encoded")
        if not 0 <= self.clip_s <= 30:
            raise OptionError(f"clip_s is {self.clip_s}; give 0..30")
        at_least("tap_frames", self.tap_frames, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesRecipe:
    """How many scenes of each kind (of clips: rounds over all of them), and their ranges."""

    counts: dict[str, int] = field(default_factory=dict)  # by kind, of each round
    rounds: int = 1  # times all that, with other seeds
    again: dict[str, int] = field(
        default_factory=dict
    )  # counts of the rounds after the first, where others
    seed: int = 11
    options: SceneOptions = field(default_factory=SceneOptions)

    def __post_init__(self) -> None:
        for name in ("counts", "again"):
            for kind, count in getattr(self, name).items():
                if kind not in KINDS:
                    raise OptionError(f"{name} has {kind!r}; the kinds are {', '.join(KINDS)}")
                at_least(f"{name}.{kind}", count, 0)
        at_least("rounds", self.rounds, 1)

    def kinds(self, number: int) -> Mapping[Kind, int]:
        """The counts of a round (from 0), by kind."""
        counts = self.again if number and self.again else self.counts
        return {kind: counts.get(kind, 0) for kind in KINDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class DevelopmentRecipe:
    """Scenes of what is held out; beside them every held-out clip, as it is."""

    speech_clips: int = 120  # single utterances
    quiet: int = 70
    spoken: int = 110
    nothing: int = 32
    speech_over_sound_db: float = 5.0
    beta: float = 1.0  # thresholds give the best F-beta: above 1, what is missed counts more
    least_precision: float = 0.0  # thresholds at which a label's precision is lower are not taken
    seed: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecipe:
    """The head's shape; see `checkpoint.heads.TagHead`."""

    layers: Literal["last", "mean", "weighted", "each"] = "weighted"
    hidden: int = 0  # behind a projection; 0: none
    time_heads: int = 0
    layer_heads: int = 0
    window_frames: int = 25
    hop_frames: int = 25
    stored: Literal["float32", "float16", "int8"] = "float16"

    def __post_init__(self) -> None:
        for name in ("window_frames", "hop_frames"):
            at_least(name, getattr(self, name), 1)
        if self.window_frames % self.hop_frames:
            raise OptionError(
                f"hop_frames {self.hop_frames} does not divide window_frames {self.window_frames}"
            )
        if self.layer_heads and self.layers != "each":
            raise OptionError(f"layer_heads needs layers 'each', not {self.layers!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentRecipe:
    """What is done to taps and targets while training."""

    mixup_share: float = 0.5  # of windows that are mixed with another one
    mixup_beta: float = 10.0  # both parameters of the share's Beta distribution
    smoothing: float = 0.1
    time_mask_frames: int = 0  # up to so many frames of a window are zeroed
    dropout: float = 0.0  # of the taps' values
    balance: float = 1.0  # power of a label's rarity in sampling: 1 as Whisper-AT, 0 none
    floor: float = 0.0  # sampling weight of windows in which nothing is heard; a usual label has 1

    def __post_init__(self) -> None:
        for name in ("mixup_share", "smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1.0000001:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0..1")
        for name in ("balance", "floor", "time_mask_frames"):
            at_least(name, getattr(self, name), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagsRecipe:
    """A whole recipe."""

    name: str = "tags"
    licence: str = ""
    source: str = ""  # where the head's file says that it comes from; "": the recipe's file name
    model: str = "base"
    labels: tuple[str, ...] = ()  # AudioSet's display names; (): all 527
    left_out: tuple[
        str, ...
    ] = ()  # of the file, though trained: what development shows not to be known
    data: DataRecipe
    scenes: ScenesRecipe = field(default_factory=ScenesRecipe)
    development: DevelopmentRecipe = field(default_factory=DevelopmentRecipe)
    head: HeadRecipe = field(default_factory=HeadRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)
    default_threshold: float = 0.5  # where there are no development scenes to calibrate on

    def __post_init__(self) -> None:
        for name in self.left_out:
            if name not in self.labels:
                raise OptionError(f"left_out has {name!r}, which is none of the recipe's labels")
        if self.labels and set(self.labels) == set(self.left_out):
            raise OptionError("left_out has all labels; leave some in")
