"""Scenes of known onsets: sounds at random times over speech, noise or silence, up to 30 s long.

What an encoder is given while a tag head is trained. Nothing is encoded here. A scene depends on its order
(`SceneOrder`) alone, never on the scenes before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from tercet.audio.load import load
from tercet.train.tags.scene import (
    KINDS,
    SPEECH,
    Event,
    Kind,
    Material,
    Scene,
    SceneOptions,
    Source,
)
from tercet.train.waveforms import (
    RATE_HZ,
    active_regions,
    active_rms,
    at_speed,
    coloured_noise,
    in_room,
    tones,
    with_tone,
)

_T = TypeVar("_T")
LONGEST_S = 30.0
_KEPT_CLIPS = 640
_REFERENCE_RMS = 0.07  # speech's level before a scene's own gain: -23 dB


@dataclass(frozen=True, slots=True)
class SceneOrder:
    """Which scene to make."""

    kind: Kind
    number: int  # among those of its kind
    group: str
    seed: int

    @property
    def key(self) -> str:
        """A name that no other scene of the same material has."""
        return f"{self.kind}-{self.group}-{self.number:05d}-{self.seed}"


@lru_cache(maxsize=_KEPT_CLIPS)
def heard(path: Path) -> np.ndarray:
    """A recording's first 60 s, float32, mono, 16 kHz; the last ones asked for are kept.

    Raises:
        AudioError: it cannot be heard.
    """
    samples = load(path).read()[: 60 * RATE_HZ]
    samples.flags.writeable = False
    return samples


def orders(
    material: Material, counts: Mapping[Kind, int], *, seed: int, shuffled: bool = True
) -> list[SceneOrder]:
    """The scenes of a set: for kinds of clips `counts` is rounds over all clips, for others a number.

    Groups take turns in the proportion of their sounds.
    """
    rng = np.random.default_rng([seed, 1])
    names = list(material.groups)
    sizes = np.array([len(material.groups[name]) for name in names], float)
    found: list[SceneOrder] = []
    for kind in KINDS:
        wanted = counts.get(kind, 0)
        if kind in ("clip", "changed_clip"):
            for name in names:
                n = wanted * len(material.groups[name])
                found += [SceneOrder(kind, number, name, seed) for number in range(n)]
            continue
        drawn = rng.choice(len(names), wanted, p=sizes / sizes.sum()) if names else [0] * wanted
        group_names = names or [""]
        found += [SceneOrder(kind, i, group_names[at], seed) for i, at in enumerate(drawn)]
    if shuffled:
        found = [found[i] for i in rng.permutation(len(found))]
    return found


def utterances(
    paths: Sequence[Path], n: int, *, seed: int
) -> list[tuple[str, Callable[[], Scene]]]:
    """`n` recordings of speech, drawn at random, as they are: (key, how it is made) of each."""
    drawn = sorted(np.random.default_rng(seed).permutation(len(paths))[:n])

    def one(path: Path) -> Scene:
        samples = heard(path)[: int(LONGEST_S * RATE_HZ)]
        return Scene(samples, _events(samples, SPEECH, 0), {"kind": "utterance", "label": SPEECH})

    return [(paths[at].stem, partial(one, paths[at])) for at in drawn]


class SceneMaker:
    """Makes scenes to order."""

    def __init__(self, material: Material, options: SceneOptions | None = None) -> None:
        self._material = material
        self._options = options or SceneOptions()
        self._make: Mapping[Kind, Callable[[SceneOrder, np.random.Generator], Scene]] = {
            "clip": self._clip,
            "changed_clip": self._clip,
            "speech": self._speech,
            "quiet": self._quiet,
            "spoken": self._spoken,
            "nothing": self._nothing,
        }

    def make(self, order: SceneOrder) -> Scene:
        """The scene of this order, always the same.

        Raises:
            AudioError: a recording cannot be heard.
        """
        kind_at = KINDS.index(order.kind)
        group_at = sorted(self._material.groups).index(order.group) if order.group else 0
        rng = np.random.default_rng([order.seed, kind_at, group_at, order.number])
        scene = self._make[order.kind](order, rng)
        facts = {"kind": order.kind, "group": order.group, **scene.facts}
        return Scene(scene.samples, scene.events, facts)

    def _clip(self, order: SceneOrder, rng: np.random.Generator) -> Scene:
        """One clip by itself, as it is or changed."""
        sources = self._material.groups[order.group]
        source = sources[order.number % len(sources)]
        samples = heard(source.path)[: int(LONGEST_S * RATE_HZ)]
        facts = {"label": source.label, "path": source.path.name}
        if order.kind == "clip":
            return Scene(samples, _events(samples, source.label, 0), facts)
        samples = self._changed(samples, rng)
        if rng.random() < 0.5:
            samples = _cropped(samples, rng, least_s=1.0)
        events = _events(samples, source.label, 0)
        mixed = self._with_noise(samples.copy(), rng, active_rms(samples))
        return Scene(self._with_gain(mixed, rng), events, facts)

    def _speech(self, order: SceneOrder, rng: np.random.Generator) -> Scene:
        """Speech by itself."""
        n = self._length(rng, shortest_s=1.0)
        samples, events = self._speech_bed(n, rng, sparse=rng.random() < 0.2)
        mixed = self._with_noise(samples, rng, _REFERENCE_RMS)
        return Scene(self._with_gain(mixed, rng), events)

    def _quiet(self, order: SceneOrder, rng: np.random.Generator) -> Scene:
        """Sounds without speech, most of them in quiet."""
        n = self._length(rng, shortest_s=6.0)
        mixed = np.zeros(n, np.float32)
        events = self._add_sounds(
            mixed, order.group, rng, lambda: _REFERENCE_RMS * _db(rng, -12, 6)
        )
        mixed = self._with_noise(mixed, rng, _REFERENCE_RMS)
        return Scene(self._with_gain(mixed, rng), events)

    def _spoken(self, order: SceneOrder, rng: np.random.Generator) -> Scene:
        """Sounds under, over and beside speech."""
        n = self._length(rng, shortest_s=6.0)
        mixed, spoken = self._speech_bed(n, rng, sparse=rng.random() < 0.3)
        low, high = self._options.speech_over_sound_db
        sounds = self._add_sounds(
            mixed, order.group, rng, lambda: _REFERENCE_RMS * _db(rng, -high, -low)
        )
        mixed = self._with_noise(mixed, rng, _REFERENCE_RMS)
        return Scene(self._with_gain(mixed, rng), _in_order([*spoken, *sounds]))

    def _nothing(self, order: SceneOrder, rng: np.random.Generator) -> Scene:
        """Silence, noise or tones: no label's."""
        n = self._length(rng, shortest_s=1.0)
        kind = order.number % 4
        if kind == 0:
            samples = np.zeros(n, np.float32)
            if rng.random() < 0.5:
                samples = coloured_noise(n, 0.0, rng) * np.float32(1e-4)
            return Scene(samples, ())
        if kind == 1 or (kind == 2 and not self._material.noises):
            samples = coloured_noise(n, rng.uniform(0, 2), rng)
        elif kind == 2:
            samples = _looped(heard(_one(self._material.noises, rng)), n, rng)
        else:
            samples = tones(n, rng)
        return Scene(self._with_gain(samples, rng), ())

    def _length(self, rng: np.random.Generator, *, shortest_s: float) -> int:
        """Samples; whole windows mostly."""
        if rng.random() < self._options.full_length_share:
            return int(LONGEST_S * RATE_HZ)
        return int(rng.uniform(shortest_s, LONGEST_S) * RATE_HZ)

    def _speech_bed(
        self, n: int, rng: np.random.Generator, *, sparse: bool
    ) -> tuple[np.ndarray, tuple[Event, ...]]:
        """Utterances with pauses; `sparse`: long ones."""
        bed = np.zeros(n, np.float32)
        regions: list[tuple[float, float]] = []
        at = int(rng.uniform(0, 8.0 if sparse else 1.0) * RATE_HZ)
        while at < n - RATE_HZ // 2:
            words = self._in_some_room(heard(_one(self._material.speech, rng)), rng)
            level = active_rms(words)
            if level > 0:
                words = words * np.float32(_REFERENCE_RMS * _db(rng, -4, 4) / level)
            words = words[: n - at]
            bed[at : at + words.size] += words
            offset_s = at / RATE_HZ
            regions += [(a + offset_s, b + offset_s) for a, b in active_regions(words)]
            pause_s = rng.uniform(2.0, 8.0) if sparse else rng.exponential(0.6)
            at += words.size + int(pause_s * RATE_HZ)
        return bed, tuple(Event(a, b, SPEECH) for a, b in _bridged(regions, 0.8))

    def _add_sounds(
        self,
        mixed: np.ndarray,
        group: str,
        rng: np.random.Generator,
        level: Callable[[], float],
    ) -> tuple[Event, ...]:
        """Add sounds in place, each label as often as any other; those of one label do not overlap."""
        by_label: dict[str, list[Source]] = {}
        for source in self._material.groups[group]:
            by_label.setdefault(source.label, []).append(source)
        low, high = self._options.sounds
        events: list[Event] = []
        for _ in range(int(rng.integers(low, high + 1))):
            label = _one(sorted(by_label), rng)
            samples = self._changed(heard(_one(by_label[label], rng).path), rng)
            regions = active_regions(samples)
            if not regions:
                continue
            samples = samples[int(regions[0][0] * RATE_HZ) : int(regions[-1][1] * RATE_HZ)]
            if rng.random() < 0.4:
                samples = _cropped(samples, rng, least_s=0.5)
            samples = samples[: mixed.size]
            at = int(rng.integers(0, mixed.size - samples.size + 1))
            added = _events(samples, label, at)
            if _touches(added, events):
                continue
            rms = active_rms(samples)
            gain = level() / rms if rms > 0 else 0.0
            mixed[at : at + samples.size] += np.float32(gain) * _faded(samples)
            events += added
        return _in_order(events)

    def _changed(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Speed, tone and room of a sound."""
        samples = at_speed(samples, rng.uniform(*self._options.speed))
        if rng.random() < 0.5:
            tone_db = self._options.tone_db
            samples = with_tone(samples, *rng.uniform(-tone_db, tone_db, 2))
        return self._in_some_room(samples, rng)

    def _in_some_room(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self._material.rooms and rng.random() < self._options.room_share:
            return in_room(samples, heard(_one(self._material.rooms, rng)))
        return samples

    def _with_noise(
        self, samples: np.ndarray, rng: np.random.Generator, reference: float
    ) -> np.ndarray:
        if rng.random() >= self._options.noise_share:
            return samples
        low, high = self._options.noise_under_db
        level = reference * _db(rng, -high, -low)
        if self._material.noises and rng.random() < 0.5:
            noise = _looped(heard(_one(self._material.noises, rng)), samples.size, rng)
            noise = noise / max(float(np.sqrt((noise**2).mean())), 1e-9)
        else:
            noise = coloured_noise(samples.size, rng.uniform(0, 2), rng)
        mixed: np.ndarray = (samples + noise * np.float32(level)).astype(np.float32)
        return mixed

    def _with_gain(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        peak = float(np.abs(samples).max(initial=0.0))
        gain = _db(rng, *self._options.gain_db) / max(peak, 1e-9)
        return (samples * min(gain, 1e4)).astype(np.float32)


def _events(samples: np.ndarray, label: str, at: int) -> tuple[Event, ...]:
    offset_s = at / RATE_HZ
    return tuple(Event(a + offset_s, b + offset_s, label) for a, b in active_regions(samples))


def _in_order(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: (event.start_s, event.label)))


def _touches(added: Sequence[Event], events: Sequence[Event]) -> bool:
    """Whether one of these sounds is within a second of another of its label."""
    return any(
        a.label == b.label and a.start_s < b.end_s + 1 and b.start_s < a.end_s + 1
        for a in added
        for b in events
    )


def _bridged(regions: Sequence[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for first, last in sorted(regions):
        if joined and first - joined[-1][1] < gap_s:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _cropped(samples: np.ndarray, rng: np.random.Generator, *, least_s: float) -> np.ndarray:
    """A part from where it sounds, not shorter than `least_s` where it is as long."""
    least = min(samples.size, int(least_s * RATE_HZ))
    size = int(rng.integers(least, samples.size + 1))
    return samples[:size] if rng.random() < 0.5 else samples[samples.size - size :]


def _faded(samples: np.ndarray) -> np.ndarray:
    """With 5 ms of fading at both ends, so that cutting adds no click."""
    n = min(80, samples.size // 2)
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    faded = samples.astype(np.float32, copy=True)
    if n:
        faded[:n] *= ramp
        faded[-n:] *= ramp[::-1]
    return faded


def _looped(samples: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` samples of a recording from a random place on, round and round."""
    at = int(rng.integers(samples.size))
    return np.resize(np.concatenate([samples[at:], samples[:at]]), n)


def _one(things: Sequence[_T], rng: np.random.Generator) -> _T:
    return things[int(rng.integers(len(things)))]


def _db(rng: np.random.Generator, low: float, high: float) -> float:
    """A random factor between two numbers of decibels."""
    return float(10 ** (rng.uniform(low, high) / 20))
