"""From sources to windows: one track per recording, or per channel of it. Nothing is encoded here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tercet.audio.chunks import ChunkPlan, chunks
from tercet.audio.convention import MelFloor
from tercet.audio.load import Recording, load
from tercet.audio.mel import log_mel_maximum
from tercet.audio.sources import AudioSource
from tercet.audio.vad import VadOptions
from tercet.audio.windows import Window, windows
from tercet.errors import SourceOptionError

Channel = Literal["mean", "each"] | int


@dataclass(frozen=True, slots=True)
class Track:
    """One mono stream on its way to becoming a transcript."""

    source_index: int
    channel: int | None  # None: all channels mixed
    n_tracks: int  # of the same source
    duration_s: float | None  # None: the source does not say
    windows: Iterator[Window]
    floor_max: (
        float | None
    )  # the file's loudest log-mel value, where a reading's floor is the file's


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How sources are to be read."""

    sampling_rate: int | None
    channel: Channel
    vad: VadOptions | None
    mel_floor: MelFloor  # "file" where any reading needs the file's loudest value
    n_mels: int
    chunks: ChunkPlan | None = None  # None: windows cut in pauses

    def tracks(self, source: AudioSource, source_index: int) -> Iterator[Track]:
        """Open a source: one track, or one per channel with channel="each".

        Each track is opened when it is asked for. Read it to its end before asking for the next one: they may
        share a file object, which has one position.

        Raises:
            AudioError: the source cannot be heard.
            SourceOptionError: the options need a second pass over a source that can be read only once.
        """
        if self.channel != "each":
            number = None if self.channel == "mean" else self.channel
            yield self._track(self._load(source, self.channel), source_index, number, 1)
            return
        first = self._load(source, 0)
        if first.channels > 1 and not first.reopenable:
            message = "channel='each' reads it once per channel; save it to a file first"
            raise SourceOptionError(f"{first.name}: {message}")
        n_tracks = first.channels
        yield self._track(first, source_index, 0, n_tracks)
        for number in range(1, n_tracks):
            yield self._track(self._load(source, number), source_index, number, n_tracks)

    def _load(self, source: AudioSource, channel: Literal["mean"] | int) -> Recording:
        return load(source, sampling_rate=self.sampling_rate, channel=channel)

    def _track(
        self, recording: Recording, source_index: int, channel: int | None, n_tracks: int
    ) -> Track:
        floor_max = None
        if self.mel_floor == "file":
            if not recording.reopenable:
                message = "mel_floor='file' reads it twice; save it to a file first"
                raise SourceOptionError(f"{recording.name}: {message}")
            floor_max = log_mel_maximum(recording.blocks(), n_mels=self.n_mels)
        blocks = recording.blocks()
        plan, vad = self.chunks, self.vad
        stream = windows(blocks, vad) if plan is None else chunks(blocks, plan, vad)
        return Track(source_index, channel, n_tracks, recording.duration_s, stream, floor_max)
