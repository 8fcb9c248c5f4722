"""Sound that somebody else hands over piece by piece: a microphone's callback, a socket, a generator.

Shapes and number formats are those of arrays. Nothing is resampled here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tercet.audio.arrays import RATE_HZ, check_rate, from_array
from tercet.errors import ChannelError, EmptyAudioError


@dataclass(frozen=True, slots=True)
class Pushed:
    """An iterator's blocks of samples, each as `from_array` takes it; it can be read once."""

    name: str
    blocks: Iterator[Any]
    rate_hz: int

    def chunks(self) -> Iterator[tuple[np.ndarray, int]]:
        """float32 [channels, n] with the sampling rate, as they come; empty blocks are passed over.

        Raises:
            AudioError: a block is no sound, has other channels than the first one, or there is none.
        """
        channels: int | None = None
        for block in self.blocks:
            if np.size(block) == 0:
                continue
            samples = from_array(block, self.rate_hz, name=self.name)
            found = samples.values.shape[0]
            if channels is not None and found != channels:
                raise ChannelError(
                    f"{self.name}: a block has {found} channels and the first one {channels}; "
                    "give all of them the same"
                )
            channels = found
            yield from samples.chunks()
        if channels is None:
            raise EmptyAudioError(f"{self.name}: its blocks hold no samples; give at least one.")


def pushed(blocks: Iterator[Any], sampling_rate: object) -> Pushed:
    """Take an iterator of blocks; no rate means 16 kHz.

    Raises:
        SampleRateError: the rate is out of range.
    """
    rate_hz = check_rate(RATE_HZ if sampling_rate is None else sampling_rate, "<blocks>")
    return Pushed("<blocks>", blocks, rate_hz)
