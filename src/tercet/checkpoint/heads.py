"""What a head file opens to: a tag head, a quantizer or a draft, its arrays, what it says about itself.

Names inside a head follow Hugging Face's for blocks (`time_block.self_attn.q_proj.weight`), whatever
the file calls them; `head_naming.py` has every name and shape. Nothing is read or computed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tercet.audio.convention import SHARED, InputConvention
from tercet.checkpoint.arrays import Int8Matrix
from tercet.errors import CheckpointError

AUDIOSET_LABELS = 527
FRAMES_PER_TAP = 20  # encoder states (20 ms) that one tap (0.4 s) averages
STATES_PER_WINDOW = 1500  # of 30 s
Layers = Literal["last", "mean", "weighted", "each"]
Downsampling = Literal["mean", "stride", "conv"]


@dataclass(frozen=True, slots=True)
class HeadArrays:
    """A head's arrays in memory (`checkpoint.arrays.Arrays`): a few MB, so they are read at once."""

    values: Mapping[str, np.ndarray]  # float32, float16, or int8 with a scale
    scales: Mapping[str, np.ndarray] = field(
        default_factory=dict
    )  # by matrix, float32 [out, blocks]
    path: Path = Path("memory")

    def names(self) -> tuple[str, ...]:
        """All array names, sorted."""
        return tuple(sorted(self.values))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array."""
        return self._known(name).shape

    def read(self, name: str) -> np.ndarray:
        """One array as floats."""
        stored = self.read_int8(name)
        return self._known(name) if stored is None else stored.to_float()

    def read_int8(self, name: str) -> Int8Matrix | None:
        """The stored 8-bit form of a matrix, where there is one."""
        scales = self.scales.get(name)
        return None if scales is None else Int8Matrix(self._known(name), scales)

    def _known(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise CheckpointError(f"{self.path}: this head has no array {name!r}")
        return self.values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a head comes from, and for which encoder it was trained."""

    name: str = ""
    licence: str = ""  # "BSD-2-Clause", "CC-BY-NC-SA-4.0"; "" where nobody said
    source: str = ""  # a repository, paper or recipe
    encoder_name: str = ""  # "medium"; for messages
    encoder: Mapping[str, Any] | None = None  # `Fingerprint.to_json()`; None: unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class TagHead:
    """A tagging head (Whisper-AT, arXiv:2307.03183): taps [layers, frames, width] -> logits [labels].

    The published modes are combinations of four choices: which layers, projected or not, a transformer
    over time or none, a transformer over layers or none.
    """

    layers: Layers  # the last one, their mean, a weighted mean, or each (TL-Tr)
    n_layers: int | None  # encoder blocks it needs; None: any number
    width: int  # the encoder's
    hidden: int  # behind the projection; equals `width` where there is none
    has_projection: bool  # LayerNorm + Linear(width, hidden), shared by all frames and layers
    time_heads: int  # of the time transformer; 0: none, frames are averaged
    layer_heads: int  # of the layer transformer; 0: none (it needs layers == "each")
    arrays: HeadArrays
    labels: tuple[str, ...] | None = None  # display names; None: AudioSet's 527 in order
    window_frames: int = 25  # taps that one score hears, as trained (25 x 0.4 s = 10 s)
    hop_frames: int = 25  # taps between the windows that are averaged; divides `window_frames`
    thresholds: tuple[float, ...] = (
        0.5,
    )  # score from which a sound counts: for all labels, or each
    convention: InputConvention = SHARED
    origin: Origin = field(default_factory=Origin)

    @property
    def n_labels(self) -> int:
        """How many labels there are."""
        return AUDIOSET_LABELS if self.labels is None else len(self.labels)

    @property
    def mode(self) -> str:
        """Whisper-AT's name of the combination: "wa_down_tr_512_8", "lw_tr_1_8", "last_mlp"."""
        layers = {"last": "last", "mean": "mean", "weighted": "wa", "each": "lw"}[self.layers]
        if not self.time_heads:
            return f"{layers}_down_mlp_{self.hidden}" if self.has_projection else f"{layers}_mlp"
        down = f"down_tr_{self.hidden}" if self.has_projection else "tr"
        over_layers = f"_{self.layer_heads}" if self.layer_heads else ""
        return f"{layers}_{down}_{self.time_heads}{over_layers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """A vector-quantized bottleneck (Ichigo-Whisper, WhisperVQ) on the encoder's states.

    Codes: states [frames, width] -> downsampled -> MLP -> projected -> nearest codebook row by cosine.
    Back: rows -> projected -> repeated -> positions -> transformer blocks -> states for the decoder.
    """

    width: int  # the encoder's
    heads: int  # of the decoder-side blocks
    mlp_width: int
    code_width: int  # columns of the codebook
    codebook_size: int  # rows, the mask's included
    mask_code: int | None  # the row that stands for no speech; None: there is none
    depth: int = 1  # residual levels, each with its own codebook and projections
    blocks: int = 1  # decoder-side transformer blocks
    downsample: int = 2  # states per code
    downsampling: Downsampling = "mean"
    has_rope: bool = True  # rotary positions beside the learned ones (half-split, base 10000)
    query_mult: float = (
        2.0  # WhisperSpeech's: q and k are scaled by sqrt(query_mult x 8 / sqrt(head width))
    )
    positions: int = STATES_PER_WINDOW
    # Row i of `state_mean` [positions, width] is taken off state i before quantising and added back behind.
    has_state_mean: bool = False
    arrays: HeadArrays
    convention: InputConvention = SHARED
    origin: Origin = field(default_factory=Origin)

    @property
    def rate_hz(self) -> float:
        """Codes per second."""
        return 50 / self.downsample

    @property
    def samples_per_code(self) -> int:
        """Audio samples (16 kHz) that one code stands for: 640 at 25 Hz."""
        return 320 * self.downsample


CANDIDATES = 32  # of a draft: among so many the likeliest token nearly always is


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftHead:
    """A head that proposes what the decoder will write next, for the decoder to verify.

    One block on what the decoder knew when it chose its last token: (token, hidden state) -> self-attention
    -> cross-attention -> MLP -> the next token, and a hidden state of its own to go on from (as in EAGLE,
    arXiv:2401.15077, and ReDrafter, arXiv:2403.09919). Both attentions read the keys and values of one of the
    decoder's own layers, over the window and over the text that it has verified: a draft has no cache of its
    own, and nothing to roll back. Only tokens of a shortlist are proposed, by the decoder's own embeddings:
    all of them are scored, or those `CANDIDATES` that score best in a space of lower rank, which takes less.
    """

    width: int  # the decoder's
    mlp_width: int
    layer: int  # of the decoder, whose attentions' keys and values it reads
    vocab_size: int  # the decoder's
    shortlist: int  # tokens that it can propose; `token_ids` has them
    rank: int = 0  # of the space in which candidates are looked for; 0: all tokens are scored
    arrays: HeadArrays
    convention: InputConvention = SHARED
    origin: Origin = field(default_factory=Origin)

    @property
    def candidates(self) -> int:
        """How many tokens are scored exactly."""
        return min(CANDIDATES, self.shortlist) if self.rank else self.shortlist

    @property
    def token_ids(self) -> np.ndarray:
        """The tokens that it can propose, int64 [shortlist], ascending."""
        return np.asarray(self.arrays.read("token_ids"), np.int64)


Head = TagHead | Quantizer | DraftHead
