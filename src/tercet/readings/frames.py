"""From taps on the recording's clock to scores of sounds: the encoder's work is done, and never done again.

A tag head hears windows of taps (0.4 s each). Windows overlap, and a frame's score is the mean over the
windows that hear it. What is an event is `events.py`'s business.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from array_api_compat import array_namespace

from tercet.engine.protocol import Array, TagScorer
from tercet.errors import OptionError

FRAME_S = 0.4  # what one tap stands for
_TOLERANCE_S = 1e-6  # 3 x 0.4 and 1.2 are not the same float
_FRAMES_PER_CALL = (
    500  # of all windows that are scored together: bounds what the head keeps in memory
)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one answer to ==
class Rows:
    """Consecutive rows of scores that nothing can change any more."""

    start_frame: int  # the first row's, on the recording's clock
    row_frames: (
        int  # frames of 0.4 s that each row stands for; the recording's last one may have fewer
    )
    scores: np.ndarray  # float32 [rows, labels], 0..1
    logits: np.ndarray | None  # float32 [rows, labels], where a row is one window and no mean

    def __len__(self) -> int:
        return len(self.scores)


def frames_of(seconds: float, *, name: str = "at_time_res") -> int:
    """A number of frames, from seconds that are a multiple of 0.4.

    Differs from whisper-at, whose check is exact in floats and refuses 4.4, 8.8 and three times 0.4: what is
    within 1e-6 s of a multiple is that multiple.

    Args:
        seconds: More than 0.
        name: The option's, for the error.

    Raises:
        OptionError: it is no such number.
    """
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds):
        raise OptionError(f"{name} is {seconds!r}; give seconds, a multiple of 0.4")
    frames = round(seconds / FRAME_S)
    if frames < 1 or abs(seconds - frames * FRAME_S) > _TOLERANCE_S:
        below = max(1, math.floor(seconds / FRAME_S))
        near = " or ".join(f"{each * FRAME_S:.1f}" for each in (below, below + 1))
        raise OptionError(f"{name} is {seconds!r} s, not a multiple of 0.4; give {near}")
    return frames


class FrameScores:
    """Scores one recording's taps as they come.

    Window k hears the frames from (k + 1) x hop - window up to (k + 1) x hop, as far as they are in the
    recording. So each frame is heard by exactly window / hop windows; those at the edges are shorter. At most
    one window of taps, and the scores of the windows that a frame may still be part of, are kept between
    pushes. What comes out does not depend on how the taps were cut into pushes.

    With window and hop equal, rows are whisper-at's `at_time_res`: one row per window, with its logits.
    """

    def __init__(
        self,
        scorer: TagScorer,
        *,
        n_labels: int,
        window_frames: int,
        hop_frames: int,
        row_frames: int = 1,
        zero_padded: bool = False,
    ) -> None:
        """Nothing is scored yet.

        Args:
            scorer: The head, on some engine.
            n_labels: How many labels it scores.
            window_frames: Taps that one window hears.
            hop_frames: Taps between windows; divides `window_frames`.
            row_frames: Taps that one row stands for; divides `hop_frames`.
            zero_padded: The recording's last window hears zero frames behind the sound, as in whisper-at's
                package, instead of being shorter. Only with windows that do not overlap.

        Raises:
            OptionError: these numbers do not divide each other, or windows overlap and are zero-padded.
        """
        if hop_frames < 1 or window_frames < 1 or window_frames % hop_frames:
            window, hop = _seconds(window_frames), _seconds(hop_frames)
            raise OptionError(f"hop_s {hop} does not divide window_s {window}; give one that does")
        if row_frames < 1 or hop_frames % row_frames:
            row, hop = _seconds(row_frames), _seconds(hop_frames)
            raise OptionError(f"a row of {row} does not divide hop_s {hop}; give one that does")
        if zero_padded and window_frames != hop_frames:
            raise OptionError("overlapping windows are not zero-padded; give hop_s as window_s")
        self._scorer = scorer
        self._window, self._hop, self._row = window_frames, hop_frames, row_frames
        self._zero_padded = zero_padded
        self._taps: Array | None = None  # frames from `_first` to `_total`
        self._first = self._total = 0
        self._next_window = 0
        # Logits of the windows that a block of `hop` frames may still need, the oldest first.
        self._logits = np.zeros((0, n_labels), np.float32)
        self._next_block = 0

    def push(self, taps: Array) -> Rows:
        """Take the next frames, and give the rows that no later window can change.

        `taps` [layers, frames, width] is the engine's own array; there may be no frames in it.

        Raises:
            EngineError: they do not fit the head.
        """
        self._append(taps)
        return self._advance(self._total // self._hop)

    def finish(self) -> Rows:
        """The recording ends here: give the rest. Every frame is in one row; the last row may reach beyond.

        Raises:
            EngineError: the engine failed.
        """
        n_blocks = -(-self._total // self._hop)
        missing = n_blocks * self._hop - self._total
        sound_frames = self._total
        if missing and self._zero_padded and self._taps is not None:
            xp = array_namespace(self._taps)
            zeros = xp.zeros_like(self._taps[:, :1, :])
            self._append(xp.concat([zeros] * missing, axis=1))
        rows = self._advance(n_blocks + self._overlap - 1 if n_blocks else 0)
        self._taps = None
        n_rows = -(-(sound_frames - rows.start_frame) // self._row)
        logits = None if rows.logits is None else rows.logits[:n_rows]
        return Rows(rows.start_frame, rows.row_frames, rows.scores[:n_rows], logits)

    @property
    def _overlap(self) -> int:
        """How many windows hear a frame."""
        return self._window // self._hop

    def _append(self, taps: Array) -> None:
        self._total += taps.shape[1]
        if self._taps is None or not self._taps.shape[1]:
            self._taps = taps
        elif taps.shape[1]:
            self._taps = array_namespace(taps).concat([self._taps, taps], axis=1)

    def _advance(self, windows_end: int) -> Rows:
        """Score the windows before `windows_end`, and finish the blocks that need no later one."""
        spans = [self._span(k) for k in range(self._next_window, windows_end)]
        self._next_window = max(self._next_window, windows_end)
        self._logits = np.concatenate([self._logits, self._score(spans)])
        self._forget_taps()
        n_blocks = max(0, len(self._logits) - self._overlap + 1)
        start_frame = self._next_block * self._hop
        self._next_block += n_blocks
        # In float64 and in the windows' order, so that pushes make no difference.
        shares = [_sigmoid(self._logits[k : k + n_blocks]) for k in range(self._overlap)]
        scores = (sum(shares[1:], shares[0]) / self._overlap).astype(np.float32)
        logits = self._logits[:n_blocks] if self._overlap == 1 else None
        self._logits = self._logits[n_blocks:].copy()
        repeats = self._hop // self._row
        return Rows(
            start_frame,
            self._row,
            np.repeat(scores, repeats, axis=0),
            None if logits is None else np.repeat(logits, repeats, axis=0),
        )

    def _span(self, k: int) -> tuple[int, int]:
        """The first frame of window k, and the one behind its last, in the recording."""
        end = (k + 1) * self._hop
        return max(0, end - self._window), min(end, self._total)

    def _score(self, spans: list[tuple[int, int]]) -> np.ndarray:
        """Logits of windows, float32 [n, labels]; equal windows (of a short recording) are scored once."""
        logits = np.zeros((len(spans), self._logits.shape[1]), np.float32)
        different = sorted(set(spans), key=lambda span: (span[1] - span[0], span))
        known: dict[tuple[int, int], np.ndarray] = {}
        at = 0
        while at < len(different):
            length = different[at][1] - different[at][0]
            most = max(1, _FRAMES_PER_CALL // length)
            batch = [span for span in different[at : at + most] if span[1] - span[0] == length]
            starts = np.array([start - self._first for start, _ in batch], np.int64)
            windows = starts[:, None] + np.arange(length, dtype=np.int64)
            known |= zip(batch, self._scorer.score(self._taps, windows), strict=True)
            at += len(batch)
        for row, span in enumerate(spans):
            logits[row] = known[span]
        return logits

    def _forget_taps(self) -> None:
        """Drop the frames that no later window hears."""
        needed = max(0, (self._next_window + 1) * self._hop - self._window)
        gone = min(needed, self._total) - self._first
        if self._taps is None or not gone:
            return
        # A copy: a view would keep the whole push.
        xp = array_namespace(self._taps)
        self._taps = xp.asarray(self._taps[:, gone:, :], copy=True)
        self._first += gone


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    """Scores, float64: by tanh, which cannot overflow."""
    scores: np.ndarray = 0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))
    return scores


def _seconds(frames: int) -> str:
    return f"{frames * FRAME_S:.1f} s"
