"""From sources to encoded windows, in order: the first half of the `parallel` loop.

Nothing is decoded here, and nothing here is touched by the second half, so both can run at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tercet.audio.mel import log_mel
from tercet.audio.sources import AudioSource
from tercet.audio.vad import VadOptions
from tercet.audio.windows import RATE_HZ, Window
from tercet.engine.protocol import Array, Encoder
from tercet.errors import AudioError, OptionError
from tercet.longform.parts import Part, bridge_between
from tercet.longform.tracks import Opening, Track

MEL_PADDING = (
    0.0  # in log-mel units, behind the sound: openai-whisper's transcribe() and faster-whisper
)
_STATES_PER_S = 50


@dataclass(frozen=True, slots=True)
class Opened:
    """A track begins."""

    track: Track


@dataclass(frozen=True, slots=True)
class Heard:
    """The track's next window, and before it a bridge where one is needed; states where somebody speaks."""

    track: Track
    parts: tuple[tuple[Part, Array | None], ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A track has been read to its end."""

    track: Track


@dataclass(frozen=True, slots=True)
class Failed:
    """A source cannot be heard (any further); nothing more comes of it."""

    source_index: int
    error: AudioError | OptionError


Event = Opened | Heard | Ended | Failed


def hear(
    sources: Sequence[AudioSource], opening: Opening, encoder: Encoder, vad: VadOptions | None
) -> Iterator[Event]:
    """Read the sources one after the other and encode their windows.

    What goes wrong with a source is an event; what goes wrong in the engine is nobody's in particular, and
    is raised (EngineError).
    """
    for index, source in enumerate(sources):
        try:
            for track in opening.tracks(source, index):
                yield Opened(track)
                yield from _windows(track, encoder, vad)
                yield Ended(track)
        except (AudioError, OptionError) as error:
            yield Failed(index, error)


def _windows(track: Track, encoder: Encoder, vad: VadOptions | None) -> Iterator[Heard]:
    previous: Window | None = None
    for window in track.windows:
        bridge = None if previous is None else bridge_between(previous, window)
        parts = [(Part.of(window, vad), _encode(window, track, encoder))]
        if bridge is not None:
            part = Part.of(bridge, vad, is_bridge=True)
            parts.insert(0, (part, _encode(bridge, track, encoder)))
        previous = window
        yield Heard(track, tuple(parts))


def _encode(window: Window, track: Track, encoder: Encoder) -> Array | None:
    """The window's states; None where nobody speaks."""
    if not window.has_speech:
        return None
    n_mels = encoder.geometry.n_mels
    mel = log_mel(window.samples, n_mels=n_mels, pad_value=MEL_PADDING, floor_max=track.floor_max)
    real_frames = -(-window.samples.size * _STATES_PER_S // RATE_HZ)
    return encoder.encode(mel, real_frames=real_frames).states
