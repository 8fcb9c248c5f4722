"""Mixes a scene to try everything on: somebody reads; a rooster, a dog, rain and a clock are heard.

    python examples/make_scene.py examples/scene.opus

The speech is the beginning of o_pioneers.opus, the sounds are clips of tests/clips (credits: CREDITS.md).
When everything begins is known: `SCENE` says it.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from tercet.audio.load import load

HERE = Path(__file__).resolve().parent
CLIPS = HERE.parent / "tests" / "clips"
RATE_HZ = 16000
SCENE_S = 35.0
BITS_PER_S = 28_000


class Take(NamedTuple):
    """A stretch of a recording, and where it goes. Seconds."""

    file: Path
    first_s: float  # in the recording
    last_s: float
    at_s: float  # in the scene
    gain: float = 1.0
    fade_s: float = 0.05


SPEECH = HERE / "o_pioneers.opus"
ROOSTER = CLIPS / "esc10-Rooster-1-26806-A.opus"
BARK = CLIPS / "esc10-Dog_bark-1-100032-A.opus"
RAIN = CLIPS / "esc10-Rain-1-26222-A.opus"
CLOCK = CLIPS / "esc10-Clock_tick-1-21934-A.opus"
SCENE = (
    Take(ROOSTER, 0.1, 2.4, at_s=0.4, gain=0.45),
    Take(SPEECH, 0.45, 4.1, at_s=3.2),  # "It is sixteen years since John Bergson died."
    Take(BARK, 2.15, 2.75, at_s=7.2, gain=0.6),
    Take(BARK, 2.15, 2.75, at_s=7.9, gain=0.5),
    Take(SPEECH, 4.65, 11.65, at_s=8.9),  # "His wife now lies beside him ..."
    Take(BARK, 2.15, 2.75, at_s=12.2, gain=0.35),  # under the speech
    # Five seconds of rain, laid over each other: it begins and ends in the middle of speech.
    Take(RAIN, 0.0, 5.0, at_s=15.2, gain=0.4, fade_s=0.8),
    Take(RAIN, 0.0, 5.0, at_s=19.4, gain=0.4, fade_s=0.8),
    Take(RAIN, 0.0, 5.0, at_s=23.6, gain=0.4, fade_s=0.8),
    Take(SPEECH, 12.35, 23.1, at_s=17.3),  # "From the Norwegian graveyard ..."
    Take(CLOCK, 0.3, 4.9, at_s=29.6, gain=1.3, fade_s=0.3),
)


def mixed() -> np.ndarray:
    """The scene, float32 [n], mono, 16 kHz, in [-1, 1]."""
    scene = np.zeros(round(SCENE_S * RATE_HZ), np.float32)
    for take in SCENE:
        samples = load(take.file).read()
        part = samples[round(take.first_s * RATE_HZ) : round(take.last_s * RATE_HZ)].copy()
        fade = np.sin(np.linspace(0, np.pi / 2, round(take.fade_s * RATE_HZ), dtype=np.float32))
        part[: fade.size] *= fade
        part[-fade.size :] *= fade[::-1]
        start = round(take.at_s * RATE_HZ)
        part = part[: scene.size - start]
        scene[start : start + part.size] += take.gain * part
    return scene * (0.9 / np.abs(scene).max())


def write_opus(path: Path, samples: np.ndarray) -> None:
    """One Ogg Opus file; the same samples give the same bytes."""
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libopus", rate=RATE_HZ, layout="mono")
        stream.bit_rate = BITS_PER_S
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


if __name__ == "__main__":
    write_opus(Path(sys.argv[1] if len(sys.argv) > 1 else "scene.opus"), mixed())
