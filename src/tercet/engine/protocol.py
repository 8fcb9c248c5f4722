"""The seam between arithmetic and decoding: what an engine must offer. Nothing here computes.

Arrays are whatever the engine works with (NumPy, torch); code above the seam treats them through the
array API standard and never asks which. Token ids going in are NumPy int64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tercet.checkpoint.geometry import Geometry

Array = Any  # an array of the engine's own library, float32 (array API standard)
Projected = Any  # a window's keys and values of cross-attention, in the engine's own form


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder heard in one window.

    `states` [frames, width]: 50 per second, after the final layer norm.
    `taps` [layers, ceil(frames / 20), width]: each block's output, mean over 20 frames (0.4 s); the one in
    which the sound ends averages its real frames only. None where the engine was not asked for taps.
    """

    states: Array
    taps: Array | None


class Encoder(Protocol):
    """Log-mel in, states and taps out; one window at a time."""

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        ...

    def encode(self, mel: np.ndarray, *, real_frames: int | None = None) -> Encoded:
        """Encode one window.

        `mel` is float32 [n_mels, 2 x frames] (3000 columns for a 30 s window). `real_frames` (encoder frames,
        50 per second) says how much of it is sound and not padding; only the last tap depends on it.
        """
        ...


class Session(Protocol):
    """One decoding run over `rows` independent rows, each with its own cache length."""

    @property
    def rows(self) -> int:
        """How many rows there are now."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row's cache, int64 [rows]."""
        ...

    def step(
        self,
        tokens: np.ndarray,
        *,
        counts: np.ndarray | None = None,
        keep: np.ndarray | None = None,
    ) -> Array:
        """Append tokens and return logits.

        `tokens` int64 [rows, n], right-padded; `counts` int64 [rows] in 1..n says how many of a row's
        tokens are real (all, by default). `keep` int64 [rows, k] are the positions within this step whose
        logits are wanted (each row's last real one, by default). Returns float32 [rows, k, vocab], which may
        be written into and is good until the next step.

        Raises:
            EngineError: a row would grow past the model's text context.
        """
        ...

    def hidden(self) -> Array:
        """What the last step's logits were made of: float32 [rows, k, width], after the final norm.

        Good until the next step.
        """
        ...

    def roll_back(self, lengths: np.ndarray) -> None:
        """Forget tokens: shorten each row's cache to `lengths` (int64 [rows], none longer than now)."""
        ...

    def reorder(self, rows: np.ndarray) -> None:
        """Make row i a copy of old row `rows[i]`; rows may be dropped or repeated (beams, finished rows)."""
        ...

    def alignment(self) -> Array:
        """Cross-attention of the chosen heads for every cached token: float32 [rows, heads, tokens, frames].

        Zero behind a row's last token, and behind the last frame of its window.

        Raises:
            EngineError: the session was opened without `align=True`.
        """
        ...


class Decoder(Protocol):
    """Opens sessions over encoder states."""

    @property
    def geometry(self) -> Geometry:
        """The model's sizes."""
        ...

    @property
    def steps_rows_together(self) -> bool:
        """Whether several rows share a step of several tokens; else they take it one after the other."""
        ...

    def project(self, states: Array) -> Projected:
        """Keys and values of cross-attention for one window's `states` [frames, width].

        Serves as many sessions as will be opened over it.
        """
        ...

    def open(self, windows: Sequence[Projected], *, align: bool = False) -> Session:
        """Start a session, one row for each of `windows` (at least one); they may differ in length.

        `align=True` also keeps the cross-attention of the model's alignment heads.
        """
        ...


class DraftSteps(Protocol):
    """A draft head over the rows of a session; it keeps nothing of what it was asked before."""

    def step(self, tokens: np.ndarray, hidden: Array) -> tuple[np.ndarray, np.ndarray, Array]:
        """The likeliest next token of each row.

        `tokens` int64 [rows] were written last, chosen from `hidden` float32 [rows, width]: the decoder's
        (`Session.hidden`) or the draft's own. Returns tokens int64 NumPy [rows], their shares float32 NumPy
        [rows] in 0..1, and hidden states [rows, width], good until the next step.
        """
        ...


class Drafter(Protocol):
    """A draft head (`checkpoint.heads.DraftHead`) on the engine of its decoder."""

    def open(self, session: Session) -> DraftSteps:
        """Start over the rows that a session of the decoder has now; good until it is reordered."""
        ...


class Projections(Sequence[Projected]):
    """Windows that are projected when they are asked for, and not kept: they are many times their states."""

    def __init__(self, decoder: Decoder, states: Sequence[Array]) -> None:
        """`states`: one window's each, [frames, width]."""
        self._decoder = decoder
        self._states = states

    def __len__(self) -> int:
        return len(self._states)

    def states(self, row: int) -> Array:
        """A window's states, as they were given."""
        return self._states[row]

    def of(self, rows: Sequence[int]) -> "Projections":
        """Some of the windows."""
        return Projections(self._decoder, [self._states[row] for row in rows])

    def __getitem__(self, row: int) -> Projected:  # type: ignore[override]  # slices are not needed
        return self._decoder.project(self._states[row])


def project_all(decoder: Decoder, states: Array) -> list[Projected]:
    """`decoder.project` for each of `states` [rows, frames, width]."""
    return [decoder.project(states[row]) for row in range(states.shape[0])]


def open_over(decoder: Decoder, states: Array, *, align: bool = False) -> Session:
    """A session over `states` [rows, frames, width] that will be opened only once."""
    return decoder.open(project_all(decoder, states), align=align)


class TagScorer(Protocol):
    """A tag head (`checkpoint.heads.TagHead`) on an engine: taps in, logits out."""

    def score(self, taps: Array, windows: np.ndarray) -> np.ndarray:
        """Logits of several windows of the same taps: float32 NumPy [n, labels].

        `taps` [layers, frames, width] is the engine's own array; `windows` int64 [n, frames per window] are
        the frames that each window hears. What a window gives does not depend on the others.

        Raises:
            EngineError: the taps have other layers or another width, or a window lies outside.
        """
        ...


class Coder(Protocol):
    """A quantizer (`checkpoint.heads.Quantizer`) on an engine: states to codes, and back."""

    def encode(self, states: Array, *, allow_mask: bool = False) -> np.ndarray:
        """Codes of one window: int32 NumPy [frames // downsample], or [.., depth] of a residual quantizer.

        `states` [frames, width] is the engine's own array. `allow_mask` lets sound be given the code that
        stands for no speech, as Ichigo does.

        Raises:
            EngineError: the states have another width, or no whole code.
        """
        ...

    def decode(self, codes: np.ndarray) -> Array:
        """States for the decoder, the engine's own array float32 [1500, width], from one window's codes.

        `codes` as `encode` gives them, at most 750 (at 25 Hz); what is missing is filled with the mask.

        Raises:
            EngineError: too many codes, or one that the codebook lacks.
        """
        ...


class OpenGraph(Protocol):
    """A graph of `convert/` that some engine has opened."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute all outputs, by name.

        Raises:
            EngineError: the engine failed.
        """
        ...
