"""The keys of a quantizer's recipe. What they do is done elsewhere; here they are checked."""

from dataclasses import dataclass, field
from typing import Literal

from tercet.checkpoint.heads import Downsampling
from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe, at_least

Role = Literal["speech", "noises"]
Text = Literal["teacher", "manifest"]
Stored = Literal["float32", "float16", "int8"]
MATCHES = ("", "ichigo")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecipe:
    """One manifest of recordings: its share of the training, and which of its rows are held out."""

    manifest: str  # under `data.root`, or a path of its own
    role: Role = "speech"
    label: str = ""  # only rows with this label; "": all
    language: str = ""  # of rows that do not say theirs; "": it is heard
    weight: float = 0.0  # share of the draws, relative to other sets'; 0: as many as it has windows
    windows: int = 0  # of training, made of its rows; 0: as many as it takes to use each row once
    development: int = 40  # windows of held-out rows
    field: str = ""  # the rows' field that decides ("name": the file's); "": nothing is held out
    held_out: tuple[str, ...] = ()  # endings of its value
    every: int = 1  # take every so many rows

    def __post_init__(self) -> None:
        if bool(self.field) != bool(self.held_out):
            raise OptionError("field and held_out belong together; give both, or neither")
        for name, least in (("weight", 0), ("windows", 0), ("development", 0), ("every", 1)):
            at_least(name, getattr(self, name), least)

    @property
    def name(self) -> str:
        """A name for folders and keys."""
        return self.manifest.strip("/").replace("/", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsRecipe:
    """How utterances become windows, and what is done to their sound."""

    single_share: float = 0.5  # windows of one utterance, padded as they will be served
    longest_s: float = (
        29.5  # others: neighbours of one speaker, joined until a random length up to this
    )
    shortest_s: float = 10.0
    gap_s: tuple[float, float] = (0.1, 0.8)  # silence between joined utterances
    gain_db: tuple[float, float] = (-12.0, 0.0)  # of a window's peak under full scale
    speed: tuple[float, float] = (1.0, 1.0)  # pitch and all
    noise_share: float = 0.0  # windows that the quantizer hears with noise, and the teacher without
    snr_db: tuple[float, float] = (5.0, 25.0)
    seed: int = 5

    def __post_init__(self) -> None:
        for name in ("single_share", "noise_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0..1")
        if not 0 < self.shortest_s <= self.longest_s <= 30:
            raise OptionError("give shortest_s and longest_s in 0..30 s, the shorter one first")
        for name in ("gap_s", "gain_db", "speed", "snr_db"):
            low, high = getattr(self, name)
            if low > high:
                raise OptionError(f"{name} is {low}..{high}; give the smaller number first")
        if self.gap_s[0] < 0 or self.speed[0] <= 0:
            raise OptionError("gap_s starts at 0 or above, speed above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """What is heard, and what the teacher says to it."""

    sets: tuple[SetRecipe, ...]
    windows: WindowsRecipe = field(default_factory=WindowsRecipe)
    root: str = ""  # folder of relative manifests; "": TERCET_DATA, else the recipe's folder
    skip_broken: bool = False  # leave broken rows and missing recordings out, and say which
    cached: bool = (
        True  # hear each window once, into `encoded`; False: anew, with new noise, each time
    )
    encoded: str = ""  # folder of states that several runs share; "": the run's own
    only_encoded: bool = False  # train on what `encoded` holds, and hear nothing more
    text: Text = "teacher"  # what is forced on the decoder: its own greedy text, or the manifest's
    most_wer: float = (
        0.0  # leave out windows whose teacher's text is farther from the manifest's; 0: none
    )
    timestamps_share: float = (
        0.5  # windows whose text has timestamps (of the teacher's texts alone)
    )
    expected: int = 24  # the teacher's likeliest ids that are kept of each position
    languages: tuple[str, ...] = ()  # leave out rows of others; (): all

    def __post_init__(self) -> None:
        if not any(each.role == "speech" for each in self.sets):
            raise OptionError("data.sets has no set of speech; give one")
        if self.only_encoded and not self.encoded:
            raise OptionError("only_encoded needs a folder; give encoded")
        if self.only_encoded and not self.cached:
            raise OptionError("only_encoded reads what is cached; leave cached out")
        if not 0 <= self.timestamps_share <= 1:
            raise OptionError(f"timestamps_share is {self.timestamps_share}; give 0..1")
        at_least("most_wer", self.most_wer, 0)
        at_least("expected", self.expected, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecipe:
    """The quantizer's sizes; see `checkpoint.heads.Quantizer`."""

    kind: Literal["vq", "fsq"] = "vq"
    codes: int = 2560  # without the mask's row
    code_width: int = 64
    depth: int = 1  # residual levels
    levels: tuple[
        int, ...
    ] = ()  # of FSQ; their product is `codes`, `code_width` their number and one
    blocks: int = 1
    heads: int = 8
    mlp_width: int = 1024
    downsample: int = 2
    downsampling: Downsampling = "mean"
    state_mean: bool = True  # take the mean of each position off the states
    stored: Stored = "int8"

    def __post_init__(self) -> None:
        for name in ("codes", "code_width", "depth", "blocks", "heads", "mlp_width", "downsample"):
            at_least(name, getattr(self, name), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookRecipe:
    """How the codebook is started and moved."""

    start: Literal["kmeans", "random"] = "kmeans"
    start_windows: int = 400  # of each set, for means, directions and rows
    head: str = ""  # start from this quantizer's file in place of all that
    decay: float = 0.99  # of the moving averages, per step
    revive_below: float = 0.0  # rows with fewer uses (moving average per step) start anew; 0: never
    rotation: bool = False  # the rotation trick (arXiv:2410.06424) in place of straight-through
    lr_by_fan_in: float = (
        0.0  # each Linear learns lr x this / its inputs (Ichigo: 192); 0: all alike
    )

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise OptionError(f"decay is {self.decay}; give 0 to below 1")
        for name, least in (("start_windows", 1), ("revive_below", 0), ("lr_by_fan_in", 0)):
            at_least(name, getattr(self, name), least)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRecipe:
    """Weights of the losses in one part of the training. All are sums over what counts, per token of text."""

    share: float = 1.0  # of the steps, relative to the other phases'
    divergence: float = 1.0  # KL(teacher || student)
    cross_entropy: float = 0.0
    commitment: float = 0.1
    states: float = 0.0  # squared distance from the encoder's states, per dimension and position

    def __post_init__(self) -> None:
        for name in ("share", "divergence", "cross_entropy", "commitment", "states"):
            at_least(name, getattr(self, name), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRecipe:
    """A whole recipe."""

    name: str = "tokens"
    licence: str = ""
    source: str = ""  # where the head's file says that it comes from; "": the recipe's file name
    model: str = "base"
    match: str = ""  # "ichigo": the original's losses to the letter, padding and all
    thin: int = 16  # behind the sound, one of how many positions is computed; 1: all
    data: DataRecipe
    head: HeadRecipe = field(default_factory=HeadRecipe)
    codebook: CodebookRecipe = field(default_factory=CodebookRecipe)
    phases: tuple[PhaseRecipe, ...] = field(default_factory=lambda: (PhaseRecipe(),))
    loop: LoopRecipe = field(default_factory=LoopRecipe)

    def __post_init__(self) -> None:
        if self.match not in MATCHES:
            raise OptionError(f"match is {self.match!r}; give 'ichigo', or leave it out")
        if sum(each.share for each in self.phases) <= 0:
            raise OptionError("phases have no share of the steps; give share above 0")
        at_least("thin", self.thin, 1)
