"""From sources to windows that were heard, in order: the first half of the `parallel` loop.

Nothing is decoded here, and nothing here is touched by the second half, so both can run at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tercet.audio.sources import AudioSource
from tercet.audio.vad import VadOptions
from tercet.audio.windows import Window
from tercet.engine.protocol import Array
from tercet.errors import AudioError, OptionError
from tercet.longform.ear import Ear
from tercet.longform.gate import SpeechEvidence
from tercet.longform.parts import Part, bridge_between
from tercet.longform.passes import TEXT
from tercet.longform.tracks import Opening, Track


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
    sources: Sequence[AudioSource], opening: Opening, ear: Ear, vad: VadOptions | None
) -> Iterator[Event]:
    """Read the sources one after the other and encode their windows.

    What goes wrong with a source is an event; what goes wrong in the engine is nobody's in particular, and
    is raised (EngineError).
    """
    for index, source in enumerate(sources):
        try:
            for track in opening.tracks(source, index):
                yield Opened(track)
                yield from _windows(track, ear, vad)
                yield Ended(track)
        except (AudioError, OptionError) as error:
            yield Failed(index, error)


def _windows(track: Track, ear: Ear, vad: VadOptions | None) -> Iterator[Heard]:
    is_text_wanted = any(TEXT in each.readings for each in ear.passes)
    track_ear = ear.open_track(track.floor_max)
    previous: Window | None = None
    for window in track.windows:
        bridge = (
            bridge_between(previous, window) if previous is not None and is_text_wanted else None
        )
        heard = track_ear.hear(window)
        part = Part.of(window, vad, is_text_wanted=is_text_wanted)
        part.rows, part.codes = heard.rows, heard.codes
        part.sounds_like = SpeechEvidence(heard.speech, window.voice)
        parts = [(part, heard.states)]
        if bridge is not None:
            across, bridge_part = track_ear.hear_text(bridge), Part.of(bridge, vad, is_bridge=True)
            bridge_part.sounds_like = SpeechEvidence(across.speech, bridge.voice)
            parts.insert(0, (bridge_part, across.states))
        previous = window
        yield Heard(track, tuple(parts))
