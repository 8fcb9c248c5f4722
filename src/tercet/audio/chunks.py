"""Chunks of one length that overlap, as audio comes in: what transformers' pipeline hears of a recording.

No decoding of text and no mels. How texts of overlapping chunks are merged is `longform/`'s business.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tercet.audio.vad import VadOptions
from tercet.audio.windows import PIECE_SAMPLES, Cut, Voices, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPlan:
    """How long a chunk is, and how much of it its neighbours are to answer for; samples at 16 kHz."""

    length: int  # 1 to 480000
    left: int  # the stride at a chunk's start; the first chunk has none
    right: int  # the stride at its end; the last chunk has none

    @property
    def hop(self) -> int:
        """From one chunk's start to the next one's; two neighbours share `left` + `right`."""
        return self.length - self.left - self.right


class Chunker:
    """Audio in pushes of any size, chunks out.

    Chunk k starts at k times the plan's hop. The last chunk is the first one that reaches the recording's
    end; it is longer than both strides together, or the only one. At most a chunk and 10 s are held, and as
    much more as the voice options need to be sure. `vad` as for `audio.windows.Windower`.
    """

    def __init__(self, plan: ChunkPlan, vad: VadOptions | None) -> None:
        self._plan = plan
        self._voices = None if vad is None else Voices(vad)
        self._pieces: list[np.ndarray] = []
        self._held = 0
        self._start = 0
        self._waiting: deque[Window] = deque()  # cut, but where speech is in them is not sure yet

    def push(self, samples: np.ndarray) -> list[Window]:
        """Take float32 [n] at 16 kHz; give the chunks that are complete."""
        ready: list[Window] = []
        for at in range(0, samples.size, PIECE_SAMPLES):
            piece = samples[at : at + PIECE_SAMPLES].astype(np.float32)
            self._pieces.append(piece)
            self._held += piece.size
            if self._voices is not None:
                self._voices.push(piece)
            # One sample more than a chunk: now it is known not to be the last.
            while self._held > self._plan.length:
                self._take(self._plan.length, "stride")
                self._drop(self._plan.hop)
            ready += self._settled()
        return ready

    def finish(self) -> list[Window]:
        """The recording is over; give the rest. Nothing for a recording without samples."""
        if self._voices is not None:
            self._voices.finish()
        if self._held:
            self._take(self._held, "end")
        return self._settled()

    def _take(self, size: int, cut: Cut) -> None:
        joined = np.concatenate(self._pieces)
        self._pieces = [joined]
        voice = None if self._voices is None else self._voices.per_frame(self._start, size)
        self._waiting.append(Window(self._start, joined[:size].copy(), cut, (), voice))

    def _drop(self, size: int) -> None:
        (joined,) = self._pieces
        self._pieces = [joined[size:].copy()]
        self._held -= size
        self._start += size
        if self._voices is not None:
            self._voices.forget_probabilities(self._start)

    def _settled(self) -> list[Window]:
        ready = []
        while self._waiting:
            chunk = self._waiting[0]
            speech: tuple[tuple[int, int], ...] = ((chunk.start, chunk.end),)
            if self._voices is not None:
                if not self._voices.is_settled(chunk.end):
                    break
                speech = self._voices.speech(chunk.start, chunk.end)
                self._voices.forget_regions(chunk.start + self._plan.hop)
            ready.append(replace(chunk, speech=speech))
            self._waiting.popleft()
        return ready


def chunks(
    blocks: Iterable[np.ndarray], plan: ChunkPlan, vad: VadOptions | None
) -> Iterator[Window]:
    """The chunks of a recording, as its blocks (float32 [n], 16 kHz) come in. See `Chunker`."""
    chunker = Chunker(plan, vad)
    for block in blocks:
        yield from chunker.push(block)
    yield from chunker.finish()
