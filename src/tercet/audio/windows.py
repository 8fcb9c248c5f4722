"""Windows of at most 30 s that together hold every sample once, cut in pauses, as audio comes in.

No decoding of text and no mels. A window's content depends on the recording alone, not on how it was pushed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tercet.audio.pauses import FRAME_SAMPLES, GRID_SAMPLES, best_cut
from tercet.audio.vad import SpeechTracker, VadOptions
from tercet.audio.voice import CHUNK_SAMPLES, VoiceProbabilities, known_chunks

RATE_HZ = 16000
LONGEST_SAMPLES = 30 * RATE_HZ
EARLIEST_CUT_SAMPLES = 20 * RATE_HZ  # a cut lies in the last third
SHORTEST_REST_SAMPLES = 4 * RATE_HZ  # a cut leaves at least this much for the window after it
_DECISION_SAMPLES = LONGEST_SAMPLES + SHORTEST_REST_SAMPLES
PIECE_SAMPLES = 10 * RATE_HZ  # a longer push is taken in pieces, so that little is held

Cut = Literal["pause", "seam", "stride", "end"]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording. Times count from the recording's first sample."""

    start: int  # sample, a multiple of 6400 (0.4 s), but for chunks (`audio.chunks`)
    samples: np.ndarray  # float32 [1..480000]
    # How it ends: in a pause, through sound ("seam"), in what the next chunk hears, too ("stride"), or with
    # the recording.
    cut: Cut
    speech: tuple[
        tuple[int, int], ...
    ]  # sample ranges (start, end) with speech, clipped to the window
    # Voice probabilities 0..1, float32, one per whole 10 ms; None: nobody listened for voices.
    voice: np.ndarray | None = None

    @property
    def end(self) -> int:
        """The first sample after the window."""
        return self.start + int(self.samples.size)

    @property
    def start_s(self) -> float:
        """Seconds from the recording's start."""
        return self.start / RATE_HZ

    @property
    def end_s(self) -> float:
        """Seconds from the recording's start."""
        return self.end / RATE_HZ

    @property
    def has_speech(self) -> bool:
        """Whether anybody speaks in it; if not, it is not decoded for text."""
        return bool(self.speech)


class Voices:
    """Voice probabilities and speech regions of the audio that is held."""

    def __init__(self, options: VadOptions) -> None:
        self._network = VoiceProbabilities()
        self._tracker = SpeechTracker(options)
        self._probabilities: deque[float] = deque()
        self._first_chunk = 0  # the index of the first probability kept
        self._heard = 0
        self._is_finished = False

    def push(self, samples: np.ndarray) -> None:
        """Listen to float32 [n]."""
        self._heard += samples.size
        self._take(self._network.push(samples))

    def finish(self) -> None:
        """The recording is over."""
        self._take(self._network.finish())
        self._is_finished = True

    def _take(self, probabilities: list[float]) -> None:
        self._probabilities.extend(probabilities)
        self._tracker.push(probabilities)

    def per_frame(self, start: int, n_samples: int) -> np.ndarray:
        """Each 10 ms frame's probability; the last known one stands for what the network has yet to hear."""
        end = start + n_samples
        n_chunks = -(-end // CHUNK_SAMPLES) if self._is_finished else known_chunks(end)
        chunk = (start + np.arange(n_samples // FRAME_SAMPLES) * FRAME_SAMPLES) // CHUNK_SAMPLES
        kept = np.fromiter(self._probabilities, np.float32)
        per_frame: np.ndarray = kept[np.minimum(chunk, n_chunks - 1) - self._first_chunk]
        return per_frame

    def is_settled(self, before: int) -> bool:
        """Whether nothing can change any more which samples before this one are speech."""
        return self._is_finished or self._tracker.settled >= before

    def speech(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """Sample ranges with speech, clipped to `start`..`end`."""
        regions = self._tracker.regions(self._heard)
        clipped = ((max(start, begin), min(end, stop)) for begin, stop in regions)
        return tuple((begin, stop) for begin, stop in clipped if begin < stop)

    def forget_regions(self, before: int) -> None:
        """Nobody will ask for speech before this sample."""
        self._tracker.forget(before)

    def forget_probabilities(self, before: int) -> None:
        """Nobody will ask for frames before this sample."""
        while self._first_chunk < before // CHUNK_SAMPLES:
            self._probabilities.popleft()
            self._first_chunk += 1


class Cutter:
    """Audio in pushes of any size, windows out; where they are cut is the heirs' business.

    `vad` None: nobody listens for voices, and every window counts as speech.
    """

    def __init__(self, vad: VadOptions | None) -> None:
        self._voices = None if vad is None else Voices(vad)
        self._pieces: list[np.ndarray] = []
        self._held = 0
        self._start = 0
        # Cut, but where speech is in them is not sure yet; with the first sample that is still needed then.
        self._waiting: deque[tuple[Window, int]] = deque()

    def push(self, samples: np.ndarray) -> list[Window]:
        """Take float32 [n] at 16 kHz; give the windows that are complete."""
        ready: list[Window] = []
        for at in range(0, samples.size, PIECE_SAMPLES):
            piece = samples[at : at + PIECE_SAMPLES].astype(np.float32)
            self._pieces.append(piece)
            self._held += piece.size
            if self._voices is not None:
                self._voices.push(piece)
            self._cut_complete()
            ready += self._settled()
        return ready

    def finish(self) -> list[Window]:
        """The recording is over; give the rest. Nothing for a recording without samples."""
        if self._voices is not None:
            self._voices.finish()
        self._cut_rest()
        if self._held:
            self._take(self._held, "end")
        return self._settled()

    def _cut_complete(self) -> None:
        """Cut all windows whose ends are known."""
        raise NotImplementedError

    def _cut_rest(self) -> None:
        """Nothing more comes: cut all but the last window."""

    def _joined(self) -> np.ndarray:
        """All that is held."""
        self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]

    def _take(self, size: int, cut: Cut, *, hop: int | None = None) -> None:
        """Make a window of the first samples; the next one begins `hop` behind it, or at its end."""
        step = size if hop is None else hop
        joined = self._joined()
        voice = None if self._voices is None else self._voices.per_frame(self._start, size)
        window = Window(self._start, joined[:size].copy(), cut, (), voice)
        self._pieces = [joined[step:].copy()]
        self._held -= step
        self._start += step
        self._waiting.append((window, self._start))
        if self._voices is not None:
            self._voices.forget_probabilities(self._start)

    def _settled(self) -> list[Window]:
        ready = []
        while self._waiting:
            window, needed_from = self._waiting[0]
            speech: tuple[tuple[int, int], ...] = ((window.start, window.end),)
            if self._voices is not None:
                if not self._voices.is_settled(window.end):
                    break
                speech = self._voices.speech(window.start, window.end)
                self._voices.forget_regions(needed_from)
            ready.append(replace(window, speech=speech))
            self._waiting.popleft()
        return ready


class Windower(Cutter):
    """Audio in pushes of any size, windows out.

    A window ends at the longest pause of its last third (20 to 30 s) that holds a point of the 0.4 s grid;
    where there is none, at the quietest grid point there, marked "seam". The last window is what fits into 30
    s; a cut that would leave less than 4 s for it is not made. At most 34 s of audio are held, and as much
    more as the voice options need to be sure (with the default ones, nothing).

    `vad` None: nobody listens for voices; pauses are found by energy alone, and every window counts as
    speech. Otherwise `speech` follows faster-whisper's rules, and windows where it is empty are to be skipped
    (what Whisper users know as `vad_filter`).
    """

    def _cut_complete(self) -> None:
        while self._held >= _DECISION_SAMPLES:
            self._cut_one(LONGEST_SAMPLES)

    def _cut_rest(self) -> None:
        if self._held > LONGEST_SAMPLES:
            rest = self._held - SHORTEST_REST_SAMPLES
            self._cut_one(rest // GRID_SAMPLES * GRID_SAMPLES)

    def _cut_one(self, latest: int) -> None:
        """Cut at the best point from 20 s to `latest`, knowing 34 s, or all that is left."""
        known = self._joined()[:_DECISION_SAMPLES]
        voice = None if self._voices is None else self._voices.per_frame(self._start, known.size)
        size, kind = best_cut(known, voice, EARLIEST_CUT_SAMPLES, latest)
        self._take(size, kind)


def windows(blocks: Iterable[np.ndarray], vad: VadOptions | None) -> Iterator[Window]:
    """The windows of a recording, as its blocks (float32 [n], 16 kHz) come in. See `Windower`."""
    windower = Windower(vad)
    for block in blocks:
        yield from windower.push(block)
    yield from windower.finish()
