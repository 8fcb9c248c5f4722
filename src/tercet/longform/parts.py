"""A recording on its way through the `parallel` loop: its windows in order, and which of them may leave.

Nothing is encoded or decoded here. The sound of a window is not kept: only where it lies.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from tercet.audio.pauses import FRAME_SAMPLES, levels_db, quiet_frames
from tercet.audio.vad import VadOptions
from tercet.audio.windows import RATE_HZ, Cut, Window
from tercet.decoding.fallback import Outcome
from tercet.longform.chunk_merge import merge_chunks
from tercet.longform.gate import NOTHING_HEARD, SpeechEvidence
from tercet.longform.seams import REACH_S, join_at_seam
from tercet.longform.tracks import Track
from tercet.readings.frames import Rows
from tercet.results import Segment, WindowReport

_REACH_SAMPLES = round(REACH_S * RATE_HZ)
CUT_BY_TIME = "chunks cut by time"  # a window's note: it shares no words with the next chunk
_NEAR_SAMPLES = RATE_HZ  # speech that ends further from a border than this is not cut by it


@dataclass(slots=True, kw_only=True)
class Part:
    """One window of a recording and what became of it. Times count from the recording's start."""

    start: int  # samples
    end: int
    cut: Cut
    speech_end_s: float | None  # None: nobody speaks
    hear_until_s: float | None  # from the part's start; None: nobody listened for voices
    is_bridge: bool = False  # heard only to join the windows before and after it
    segments: tuple[Segment, ...] = ()
    outcome: Outcome | None = None
    is_done: bool = False
    note: str | None = None
    rows: Rows | None = None  # frame scores that became final with this window
    sounds_like: SpeechEvidence = NOTHING_HEARD  # what the gate is told of speech in it
    dropped: tuple[Segment, ...] = ()  # by the gate
    codes: np.ndarray | None = None  # speech tokens of this window

    @classmethod
    def of(
        cls,
        window: Window,
        vad: VadOptions | None,
        *,
        is_bridge: bool = False,
        is_text_wanted: bool = True,
    ) -> "Part":
        """What has to be known of a window once its sound is gone.

        One without speech is done, and any where no text is wanted.
        """
        has_speech = window.has_speech
        return cls(
            start=window.start,
            end=window.end,
            cut=window.cut,
            speech_end_s=window.speech[-1][1] / RATE_HZ if has_speech else None,
            hear_until_s=_hear_until_s(window, vad) if has_speech else None,
            is_bridge=is_bridge,
            is_done=not (has_speech and is_text_wanted),
            note=None if has_speech else "no speech heard",
        )

    @property
    def start_s(self) -> float:
        """Where it starts."""
        return self.start / RATE_HZ

    @property
    def end_s(self) -> float:
        """Where it ends."""
        return self.end / RATE_HZ

    def report(self) -> WindowReport:
        """For people who want to know why the text is as it is."""
        return WindowReport(
            start_s=self.start_s,
            end_s=self.end_s,
            has_speech=self.speech_end_s is not None,
            cut=self.cut,
            temperature=None if self.outcome is None else self.outcome.decoded.temperature,
            reason=self.note,
        )


@dataclass(slots=True)
class Job:
    """A track, and the parts of it that have not left yet."""

    track: Track
    language: str | None  # code; None until the first window with speech
    language_probability: float | None = None
    parts: deque[Part] = field(default_factory=deque)
    is_read: bool = False
    heard_s: float = 0.0  # how far the results reach that were handed on
    _next_id: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether everything has left."""
        return self.is_read and not self.parts

    def take_ready(self, text_language: str, encode: Callable[[str], Sequence[int]]) -> list[Part]:
        """Remove and return, in order, the windows that nothing can change any more.

        A window whose border is heard again waits for the bridge and for the window behind it, for no
        more: so little is held even where one seam follows the other. A chunk waits for the next one, with
        which it is merged.
        """
        ready: list[Part] = []
        while self.parts and self.parts[0].is_done:
            left, *behind = islice(self.parts, 3)
            if left.cut in ("seam", "stride") and not behind and not self.is_read:
                break  # the window behind it, and perhaps a bridge, have yet to come
            if left.cut == "stride" and behind:
                if not behind[0].is_done:
                    break
                _merge(left, behind[0], text_language, encode)
            has_bridge = bool(behind) and behind[0].is_bridge
            if has_bridge:
                bridge, right = behind
                if not (bridge.is_done and right.is_done):
                    break
                _join(left, bridge, right, text_language, encode)
            self.parts.popleft()
            if has_bridge:
                self.parts.popleft()
            ready.append(left)
        for part in ready:
            part.segments = tuple(
                replace(segment, id=self._next_id + i) for i, segment in enumerate(part.segments)
            )
            self._next_id += len(part.segments)
        return ready


def bridge_between(left: Window, right: Window) -> Window | None:
    """What has to be heard again: the border of two windows, if speech goes on across it."""
    if left.cut != "seam" or not (left.has_speech and right.has_speech):
        return None
    border = left.end
    if left.speech[-1][1] < border - _NEAR_SAMPLES or right.speech[0][0] > border + _NEAR_SAMPLES:
        return None
    samples = np.concatenate([left.samples[-_REACH_SAMPLES:], right.samples[:_REACH_SAMPLES]])
    start = max(left.start, border - _REACH_SAMPLES)
    end = start + samples.size
    clipped = ((max(a, start), min(b, end)) for a, b in (*left.speech, *right.speech))
    voice: np.ndarray | None = None
    if left.voice is not None and right.voice is not None:
        reach = _REACH_SAMPLES // FRAME_SAMPLES
        voice = np.concatenate([left.voice[-reach:], right.voice[:reach]])
    return Window(start, samples, "seam", tuple((a, b) for a, b in clipped if a < b), voice)


def _join(
    left: Part, bridge: Part, right: Part, language: str, encode: Callable[[str], Sequence[int]]
) -> None:
    """Let the bridge mend the border of its neighbours, and note it."""
    joined = join_at_seam(
        left.segments,
        bridge.segments,
        right.segments,
        border_s=left.end_s,
        language=language,
        encode=encode,
    )
    left.segments, right.segments = joined.left, joined.right
    seam = "joined at the seam" if joined.is_confirmed else "seam not confirmed"
    left.note = seam if left.note is None else f"{left.note}; {seam}"


def _merge(left: Part, right: Part, language: str, encode: Callable[[str], Sequence[int]]) -> None:
    """Let each of two chunks that overlap answer for its share, and note where they did not agree."""
    merged = merge_chunks(
        left.segments,
        right.segments,
        start_s=right.start_s,
        end_s=left.end_s,
        language=language,
        encode=encode,
    )
    left.segments, right.segments = merged.left, merged.right
    middle_s = (right.start_s + left.end_s) / 2
    left.dropped = tuple(s for s in left.dropped if s.start + s.end < 2 * middle_s)
    right.dropped = tuple(s for s in right.dropped if s.start + s.end >= 2 * middle_s)
    if merged.is_cut_by_time:
        left.note = CUT_BY_TIME if left.note is None else f"{left.note}; {CUT_BY_TIME}"


def _hear_until_s(window: Window, vad: VadOptions | None) -> float | None:
    """Where speech ends in a window, seconds from its start; None where nobody listened for it.

    A region of speech holds the silence up to the window's end where that is short, and padding. Text must
    not be asked for either: it would be invented.
    """
    if vad is None:
        return None
    end = window.speech[-1][1]
    if end < window.end:
        voice_end = end - window.start - round(vad.speech_pad_ms / 1000 * RATE_HZ)
        return max(0, voice_end) / RATE_HZ
    levels = levels_db(window.samples)
    sounding = np.flatnonzero(~quiet_frames(levels, None)) if levels.size else levels
    if not sounding.size:
        return window.samples.size / RATE_HZ
    return (int(sounding[-1]) + 1) * FRAME_SAMPLES / RATE_HZ
