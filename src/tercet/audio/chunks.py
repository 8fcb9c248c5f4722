"""Chunks of one length that overlap, as audio comes in: what transformers' pipeline hears of a recording.

No decoding of text and no mels. How texts of overlapping chunks are merged is `longform/`'s business.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tercet.audio.vad import VadOptions
from tercet.audio.windows import Cutter, Window


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


class Chunker(Cutter):
    """Audio in pushes of any size, chunks out.

    Chunk k starts at k times the plan's hop. The last chunk is the first one that reaches the recording's
    end; it is longer than both strides together, or the only one. At most a chunk and 10 s are held, and as
    much more as the voice options need to be sure. `vad` as for `audio.windows.Windower`.
    """

    def __init__(self, plan: ChunkPlan, vad: VadOptions | None) -> None:
        super().__init__(vad)
        self._plan = plan

    def _cut_complete(self) -> None:
        # One sample more than a chunk: now it is known not to be the last.
        while self._held > self._plan.length:
            self._take(self._plan.length, "stride", hop=self._plan.hop)


def chunks(
    blocks: Iterable[np.ndarray], plan: ChunkPlan, vad: VadOptions | None
) -> Iterator[Window]:
    """The chunks of a recording, as its blocks (float32 [n], 16 kHz) come in. See `Chunker`."""
    chunker = Chunker(plan, vad)
    for block in blocks:
        yield from chunker.push(block)
    yield from chunker.finish()
