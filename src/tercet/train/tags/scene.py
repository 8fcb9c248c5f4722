"""What a scene is: sound, and the events in it; what scenes are made of; targets for each 0.4 s frame.

Nothing is mixed here (`mixtures.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

SPEECH = "Speech"
FRAME_S = 0.4
_FULL_TARGET_S = 0.2  # a frame in which a sound is heard for this long counts as full of it

Kind = Literal["clip", "changed_clip", "speech", "quiet", "spoken", "nothing"]
KINDS: tuple[Kind, ...] = ("clip", "changed_clip", "speech", "quiet", "spoken", "nothing")


@dataclass(frozen=True, slots=True)
class Event:
    """A sound in a scene, in seconds from its start."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one answer to ==
class Scene:
    """What is heard, and what it is."""

    samples: np.ndarray  # float32 [1..480000], mono, 16 kHz
    events: tuple[Event, ...]  # by onset
    facts: Mapping[str, object] = field(default_factory=dict)  # kind, signal-to-noise ratio, ...


@dataclass(frozen=True, slots=True)
class Source:
    """A recording of one sound."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What scenes are made of. Sounds of one group are heard together, so that groups can be held out."""

    groups: Mapping[str, tuple[Source, ...]]  # by group's name ("1", "2": folds)
    speech: tuple[Path, ...]
    noises: tuple[Path, ...] = ()
    rooms: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOptions:
    """Ranges that scenes are drawn from; decibels, seconds, shares of 1."""

    speech_over_sound_db: tuple[float, float] = (-5.0, 17.0)
    noise_under_db: tuple[float, float] = (12.0, 40.0)  # under what is heard
    gain_db: tuple[float, float] = (-30.0, 0.0)  # of a whole scene; 0: its peak is full scale
    speed: tuple[float, float] = (0.9, 1.1)
    tone_db: float = 6.0
    noise_share: float = 0.5  # of scenes that have any
    room_share: float = 0.25  # of sounds and of speakers
    full_length_share: float = 0.7  # of scenes of 30 s; others are shorter
    sounds: tuple[int, int] = (1, 5)  # in one scene


def frame_targets(events: Sequence[Event], labels: Sequence[str], n_frames: int) -> np.ndarray:
    """How much each frame of 0.4 s is full of each sound: float32 [n_frames, labels], 0..1.

    A sound that is heard for 0.2 s of a frame, or for half of all it lasts, fills it. Labels that are not
    among `labels` are left out.
    """
    column = {label: i for i, label in enumerate(labels)}
    targets = np.zeros((n_frames, len(labels)), np.float32)
    starts = np.arange(n_frames) * FRAME_S
    for event in events:
        if event.label not in column:
            continue
        inside = np.minimum(starts + FRAME_S, event.end_s) - np.maximum(starts, event.start_s)
        enough = min(_FULL_TARGET_S, 0.5 * (event.end_s - event.start_s))
        share = np.clip(inside / max(enough, 1e-6), 0, 1)
        at = column[event.label]
        targets[:, at] = np.maximum(targets[:, at], share)
    return targets
