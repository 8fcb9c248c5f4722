"""What one window of sound gives before text is decoded: states, frame scores, codes.

The encoder runs once per pass and window (see `passes.py`); heads read what it gave. Decoding is not done
here, and events are not looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tercet.audio.convention import window_mel
from tercet.audio.windows import RATE_HZ, Window
from tercet.decoding.drafts import HeardTwice
from tercet.engine.heads import Heads, OpenTags
from tercet.engine.protocol import Array, Encoded, Encoder
from tercet.longform.passes import TAGS, TEXT, TOKENS, EncoderPass
from tercet.readings.codes import code_count
from tercet.readings.frames import FrameScores, Rows

_STATES_PER_S = 50
_TAP_SAMPLES = 6400  # 0.4 s


@dataclass(frozen=True, slots=True)
class WindowHeard:
    """The readings of one window; None where one is not wanted."""

    states: Array | None  # for the decoder; None, too, where nobody speaks
    rows: Rows | None  # frame scores that nothing can change any more
    codes: np.ndarray | None  # int32 [n] or [n, depth]
    speech: np.ndarray | None = None  # for the gate: `SpeechEar.score`, where somebody may speak


@dataclass(frozen=True, slots=True, kw_only=True)
class TagWindows:
    """Over which stretches of taps a tag head is run (see `readings.frames`)."""

    window_frames: int
    hop_frames: int
    row_frames: int
    zero_padded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """An encoder, the heads behind it, and how both are used: the same for all tracks of a run."""

    encoder: Encoder
    passes: tuple[EncoderPass, ...]
    heads: Heads
    tag_windows: TagWindows | None = None  # needed where tags are wanted
    speech: "SpeechEar | None" = None  # for the gate, whether or not tags are wanted
    draft: Encoder | None = None  # of a draft that hears with another encoder than the decoder's

    @property
    def needs_floor(self) -> bool:
        """Whether the file's loudest value must be known before its first window is encoded."""
        return any(each.convention.mel_floor == "file" for each in self.passes)

    def open_track(self, floor_max: float | None) -> "TrackEar":
        """An ear for the windows of one track, in their order."""
        return TrackEar(self, floor_max)


class TrackEar:
    """Hears the windows of one track one after the other."""

    def __init__(self, ear: Ear, floor_max: float | None) -> None:
        """`floor_max`: the track's loudest log10 mel power, where `Ear.needs_floor`."""
        self._ear = ear
        self._floor_max = floor_max
        self._scores: FrameScores | None = None
        tags, how = ear.heads.tags, ear.tag_windows
        if tags is not None and how is not None:
            self._scores = frame_scores(tags, how)

    def hear(self, window: Window) -> WindowHeard:
        """Encode a window, once per pass, and read from it whatever is wanted."""
        states: Array | None = None
        rows: Rows | None = None
        codes: np.ndarray | None = None
        speech: np.ndarray | None = None
        for each in self._ear.passes:
            if not each.is_needed(has_speech=window.has_speech):
                continue
            encoded = self._encode(window, each)
            if TEXT in each.readings and window.has_speech:
                states = self._for_text(encoded, window, each)
            if TAGS in each.readings:
                rows = self._rows(encoded, window)
            if TOKENS in each.readings:
                codes = self._codes(encoded, window)
            if window.has_speech and speech is None:
                speech = self._speech(encoded, window, each)
        return WindowHeard(states, rows, codes, speech)

    def hear_text(self, window: Window) -> WindowHeard:
        """A stretch that is heard for its text alone (a seam's); nothing without speech."""
        for each in self._ear.passes:
            if TEXT in each.readings and window.has_speech:
                encoded = self._encode(window, each)
                states = self._for_text(encoded, window, each)
                return WindowHeard(states, None, None, self._speech(encoded, window, each))
        return WindowHeard(None, None, None)

    def _for_text(self, encoded: Encoded, window: Window, each: EncoderPass) -> Array:
        """States for the decoder; beside its draft's own, where that hears with another encoder."""
        if self._ear.draft is None:
            return encoded.states
        return HeardTwice(encoded.states, self._encode(window, each, self._ear.draft).states)

    def _encode(self, window: Window, each: EncoderPass, encoder: Encoder | None = None) -> Encoded:
        encoder = encoder or self._ear.encoder
        mel = window_mel(
            window.samples,
            each.convention,
            n_mels=encoder.geometry.n_mels,
            floor_max=self._floor_max,
        )
        real_frames = -(-window.samples.size * _STATES_PER_S // RATE_HZ)
        return encoder.encode(mel, real_frames=real_frames)

    def _rows(self, encoded: Encoded, window: Window) -> Rows | None:
        if self._scores is None or encoded.taps is None:
            return None
        rows = [self._scores.push(encoded.taps[:, : -(-window.samples.size // _TAP_SAMPLES)])]
        if window.cut == "end":
            rows.append(self._scores.finish())
        return joined_rows(rows)

    def _speech(self, encoded: Encoded, window: Window, each: EncoderPass) -> np.ndarray | None:
        ear = self._ear.speech
        if ear is None or encoded.taps is None or each.convention != ear.tags.head.convention:
            return None
        return ear.score(encoded.taps[:, : -(-window.samples.size // _TAP_SAMPLES)])

    def _codes(self, encoded: Encoded, window: Window) -> np.ndarray | None:
        codes = self._ear.heads.codes
        if codes is None:
            return None
        n = code_count(window.samples.size, codes.head.samples_per_code)
        return codes.coder.encode(encoded.states)[:n]


@dataclass(frozen=True, slots=True)
class SpeechEar:
    """Hears in a window's taps whether somebody speaks, the same whatever is asked of tags."""

    tags: OpenTags
    windows: TagWindows  # the head's own
    column: int  # of the label Speech

    def score(self, taps: Array) -> np.ndarray:
        """Scores of Speech, 0..1, float32 [frames of 0.4 s], from `taps` [layers, frames, width] alone.

        Raises:
            EngineError: they do not fit the head.
        """
        scores = frame_scores(self.tags, self.windows)
        rows = joined_rows([scores.push(taps), scores.finish()])
        return rows.scores[:, self.column]


def frame_scores(tags: OpenTags, how: TagWindows) -> FrameScores:
    """What scores one recording's taps."""
    return FrameScores(
        tags.scorer,
        n_labels=tags.head.n_labels,
        window_frames=how.window_frames,
        hop_frames=how.hop_frames,
        row_frames=how.row_frames,
        zero_padded=how.zero_padded,
    )


def joined_rows(rows: Sequence[Rows]) -> Rows:
    """Consecutive rows as one; there is at least one."""
    if len(rows) == 1:
        return rows[0]
    with_logits = [each.logits for each in rows if each.logits is not None]
    return Rows(
        rows[0].start_frame,
        rows[0].row_frames,
        np.concatenate([each.scores for each in rows]),
        np.concatenate(with_logits) if len(with_logits) == len(rows) else None,
    )


def first_rows(rows: Rows, n: int) -> Rows:
    """The first `n` of them."""
    logits = None if rows.logits is None else rows.logits[:n]
    return Rows(rows.start_frame, rows.row_frames, rows.scores[:n], logits)
