"""The keys of a text decoder's recipe. What they do is done elsewhere; here they are checked."""

from dataclasses import dataclass, field
from typing import Literal

from tercet.errors import OptionError
from tercet.train.recipe import LoopRecipe, at_least

Stored = Literal["float32", "float16"]
Length = Literal["30s", "sound"]
Asked = Literal["teacher", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecipe:
    """One folder of labels (`tercet label`): its share of the training, and which windows are held out."""

    labels: str  # under `data.root`, or a path of its own
    text: Asked = "teacher"  # what is learnt: the teacher's text, or the manifest's reference
    weight: float = 0.0  # share of the draws, relative to other sets'; 0: as many as it has windows
    kept: bool = True  # only windows that the folder's filter kept
    every: int = 1  # take every so many
    development: int = 40  # held-out windows that validation hears
    field: str = (
        ""  # "speaker", "language", "recording" or a further column; "": nothing is held out
    )
    held_out: tuple[str, ...] = ()  # endings of its value

    def __post_init__(self) -> None:
        if bool(self.field) != bool(self.held_out):
            raise OptionError("field and held_out belong together; give both, or neither")
        for name, least in (("weight", 0), ("development", 0), ("every", 1)):
            at_least(name, getattr(self, name), least)

    @property
    def name(self) -> str:
        """A name for folders and keys."""
        return self.labels.strip("/").replace("/", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundRecipe:
    """What is done to a window's sound each time it is drawn; needs `cached = false`."""

    gain_db: tuple[float, float] = (0.0, 0.0)  # change of level
    speed: tuple[float, float] = (1.0, 1.0)  # pitch and all; timestamps follow
    noise_share: float = 0.0  # windows with white or coloured noise
    snr_db: tuple[float, float] = (5.0, 25.0)
    time_masks: int = 0  # SpecAugment (arXiv:1904.08779): stretches of the sound that are blanked
    time_mask_s: float = 0.5  # the longest one
    mel_masks: int = 0  # bands that are blanked
    mel_mask_bins: int = 14  # the widest one

    def __post_init__(self) -> None:
        if not 0 <= self.noise_share <= 1:
            raise OptionError(f"noise_share is {self.noise_share}; give 0..1")
        if not self.speed[0] > 0:
            raise OptionError(f"speed is {self.speed[0]}..{self.speed[1]}; give numbers above 0")
        for name in ("gain_db", "speed", "snr_db"):
            low, high = getattr(self, name)
            if low > high:
                raise OptionError(f"{name} is {low}..{high}; give the smaller number first")
        for name in ("time_masks", "mel_masks", "mel_mask_bins", "time_mask_s"):
            at_least(name, getattr(self, name), 0)

    @property
    def changes(self) -> bool:
        """Whether anything is done."""
        touched = self.noise_share or self.time_masks or self.mel_masks
        return bool(touched) or self.gain_db != (0.0, 0.0) or self.speed != (1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRecipe:
    """A low-rank adapter (arXiv:2106.09685) that learns in the place of everything else."""

    rank: int = 0  # 0: none
    alpha: float = 0.0  # what it adds is scaled by alpha / rank; 0: twice the rank
    encoder: bool = True
    decoder: bool = True
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    dropout: float = 0.0  # of what goes into it

    def __post_init__(self) -> None:
        for name in ("rank", "alpha"):
            at_least(name, getattr(self, name), 0)
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is {self.dropout}; give 0 to below 1")
        if not (self.encoder or self.decoder) or not self.modules:
            raise OptionError("adapter changes nothing; give encoder, decoder and modules")

    @property
    def scaled_by(self) -> float:
        """`alpha`, or what stands for 0."""
        return self.alpha or 2.0 * self.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """What is heard, and which of the teacher's text is asked for."""

    sets: tuple[SetRecipe, ...]
    sound: SoundRecipe = field(default_factory=SoundRecipe)
    root: str = ""  # folder of relative labels; "": TERCET_DATA, else the recipe's folder
    length: Length = (
        "30s"  # what the student hears of a window: padded to 30 s, or its "sound" alone
    )
    cached: bool = True  # hear each window once, into `encoded`; False: each time it is drawn
    encoded: str = ""  # folder of states that several runs share; "": the run's own
    timestamps_share: float = 0.5  # of draws whose text has timestamps, where the label has some
    prompts_share: float = 0.2  # of draws that begin with what the speaker said before, where known
    prompt_tokens: int = 223  # of it at most, its end
    bpe_dropout: float = 0.0  # share of merges that are skipped when a text is cut into subwords
    languages: tuple[str, ...] = ()  # leave out windows in others; (): all

    def __post_init__(self) -> None:
        for name in ("timestamps_share", "prompts_share", "bpe_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0..1")
        if not 1 <= self.prompt_tokens <= 223:
            raise OptionError(f"prompt_tokens is {self.prompt_tokens}; give 1 to 223")
        if not self.sets:
            raise OptionError("data.sets is empty; give a folder of labels")
        if self.cached and self.sound.changes:
            raise OptionError("data.sound changes what is heard; give cached = false with it")


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRecipe:
    """Weights, as Distil-Whisper's code has them; its paper has them the other way round."""

    cross_entropy: float = 0.8  # with the teacher's text
    divergence: float = 1.0  # from what the teacher expects; 0: no teacher is needed
    temperature: float = 2.0
    states: float = 0.0  # squared distance of each block's output from that of the teacher's blocks

    def __post_init__(self) -> None:
        for name in ("cross_entropy", "divergence", "states"):
            at_least(name, getattr(self, name), 0)
        if not self.temperature > 0:
            raise OptionError(f"temperature is {self.temperature}; give a number above 0")
        if not self.cross_entropy + self.divergence > 0:
            raise OptionError("cross_entropy and divergence are 0; there is nothing to learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsRecipe:
    """Which parts of the student learn, besides its decoder's blocks."""

    encoder: bool = False  # needs a GPU for what is larger than base
    embeddings: bool = True  # of tokens, which are the output's weights, too
    positions: bool = False  # of the decoder
    cross_keys_values: bool = (
        True  # of the decoder's blocks; False: as the teacher's, for shared caches
    )
    dropout: float = 0.0  # share of what each half of a decoder's block adds

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is {self.dropout}; give 0 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """A whole recipe."""

    name: str = "text"
    licence: str = ""
    teacher: str = "base"
    student: str  # a folder or name; where it is the teacher's, a copy of it is fine-tuned
    data: DataRecipe
    loss: LossRecipe = field(default_factory=LossRecipe)
    learns: PartsRecipe = field(default_factory=PartsRecipe)
    adapter: AdapterRecipe = field(default_factory=AdapterRecipe)
    valid_words: int = 40  # windows that each validation writes down; 0: none
    before: bool = True  # measure the student before its first step, and the teacher's words, too
    alignment_windows: int = (
        20  # that heads which time words are measured on; 0: they stay as they were
    )
    recompute: bool = False  # blocks' inner values for their gradients: less memory, more time
    stored: Stored = "float16"
    loop: LoopRecipe = field(default_factory=LoopRecipe)

    def __post_init__(self) -> None:
        for name in ("valid_words", "alignment_windows"):
            at_least(name, getattr(self, name), 0)
        if self.learns.encoder and self.adapter.rank:
            raise OptionError("adapter.rank lets nothing else learn; leave learns.encoder out")

    @property
    def changes_encoder(self) -> bool:
        """Whether the student's encoder becomes another one."""
        return self.learns.encoder or bool(self.adapter.rank and self.adapter.encoder)

    @property
    def hears(self) -> bool:
        """Whether the student's encoder runs in training: its states are not the teacher's."""
        return self.changes_encoder or self.data.length == "sound" or not self.data.cached

    @property
    def keeps_states(self) -> bool:
        """Whether states are kept: all that the student hears, or what its teacher does."""
        return self.data.cached and (not self.hears or self.loss.divergence > 0)
