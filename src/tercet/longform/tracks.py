"""From sources to windows: one track per recording, or per channel of it. Nothing is encoded here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tercet.audio.load import Recording, load
from tercet.audio.mel import log_mel_maximum
from tercet.audio.sources import AudioSource
from tercet.audio.vad import VadOptions
from tercet.audio.windows import Window, windows
from tercet.errors import OptionError

Channel = Literal["mean", "each"] | int
MelFloor = Literal["window", "file"]


@dataclass(slots=True)
class Track:
    """One mono stream on its way to becoming a transcript."""

    source_index: int
    channel: int | None  # None: all channels mixed
    recording: Recording
    windows: Iterator[Window]
    floor_max: float | None  # the file's loudest log-mel value, with mel_floor="file"

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.recording.name


def open_tracks(
    source: AudioSource,
    source_index: int,
    *,
    sampling_rate: int | None,
    channel: Channel,
    vad: VadOptions | None,
    mel_floor: MelFloor,
    n_mels: int,
) -> list[Track]:
    """Open a source: one track, or one per channel with channel="each".

    Raises:
        AudioError: the source cannot be heard.
        OptionError: the options need a second pass over a source that can be read only once.
    """
    first = load(source, sampling_rate=sampling_rate, channel="mean" if channel == "each" else channel)
    if channel != "each":
        number = channel if isinstance(channel, int) else None
        return [_track(first, source_index, number, vad, mel_floor, n_mels)]
    if not first.reopenable and first.channels > 1:
        raise OptionError(f"{first.name}: channel='each' reads it once per channel; save it to a file first")
    if first.channels == 1:
        return [_track(first, source_index, 0, vad, mel_floor, n_mels)]
    first.close()
    return [
        _track(
            load(source, sampling_rate=sampling_rate, channel=number),
            source_index,
            number,
            vad,
            mel_floor,
            n_mels,
        )
        for number in range(first.channels)
    ]


def _track(
    recording: Recording,
    source_index: int,
    channel: int | None,
    vad: VadOptions | None,
    mel_floor: MelFloor,
    n_mels: int,
) -> Track:
    floor_max = None
    if mel_floor == "file":
        if not recording.reopenable:
            message = "mel_floor='file' reads it twice; save it to a file first"
            raise OptionError(f"{recording.name}: {message}")
        floor_max = log_mel_maximum(recording.blocks(), n_mels=n_mels)
    stream = windows(recording.blocks(), vad)
    return Track(source_index, channel, recording, stream, floor_max)
