"""A scene to draw: somebody speaks, a dog barks, codes come in two windows; and its sound."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tercet.picture.excerpt import Excerpt
from tercet.picture.scene import Scene, scene_of
from tercet.results import Hearing, Segment, SoundEvent, SoundEvents, SpeechTokens, Transcript

RATE_HZ = 16000
Said = tuple[float, float, str]
Heard = tuple[float, float, str, float]


def hearing_of(
    said: tuple[Said, ...] | None = ((0.0, 3.0, "Come here."), (6.0, 9.5, "Good dog.")),
    heard: tuple[Heard, ...] | None = ((3.4, 4.2, "Bark", 0.75),),
    codes: np.ndarray | None = None,
    *,
    windows: tuple[int, ...] = (0,),
    duration_s: float = 10.0,
) -> Hearing:
    """Texts (start, end, text), events (start, end, label, score) and codes, 25 a second."""
    segments = tuple(
        Segment(
            id=n, seek=0, start=start, end=end, text=f" {text}", tokens=(), temperature=0.0,
            avg_logprob=-0.2, compression_ratio=1.0, no_speech_prob=0.0,
        )
        for n, (start, end, text) in enumerate(said or ())
    )  # fmt: skip
    transcript = Transcript(
        text="", segments=segments, language="en", language_probability=None, duration_s=duration_s
    )
    labels = tuple(dict.fromkeys(label for _, _, label, _ in heard or ())) or ("Silence",)
    events = tuple(
        SoundEvent(start_s=start, end_s=end, label=label, score=score, label_id=labels.index(label))
        for start, end, label, score in heard or ()
    )
    rows = int(duration_s / 0.4)
    frames = np.linspace(0.0, 1.0, rows * len(labels), dtype=np.float32).reshape(rows, -1)
    tags = SoundEvents(events=events, frames=frames, labels=labels, duration_s=duration_s)
    tokens = SpeechTokens(
        ids=np.zeros(0, np.int32) if codes is None else codes.astype(np.int32),
        codebook_size=512, codebook="c0de", duration_s=duration_s, window_starts=windows,
        mask_code=511,
    )  # fmt: skip
    return Hearing(
        transcript=None if said is None else transcript,
        tags=None if heard is None else tags,
        speech_tokens=None if codes is None else tokens,
        duration_s=duration_s,
        encoder_passes=(),
    )


def excerpt_of(start_s: float, end_s: float, total_s: float | None = None) -> Excerpt:
    """A tone of 440 Hz, silent in its second half."""
    n = round((end_s - start_s) * RATE_HZ)
    samples = 0.5 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(n, dtype=np.float32))
    samples[n // 2 :] = 0.0
    total_s = end_s if total_s is None else total_s
    return Excerpt(start_s=start_s, samples=samples.astype(np.float32), total_s=total_s)


@pytest.fixture
def hear() -> Callable[..., Hearing]:
    return hearing_of


@pytest.fixture
def excerpt() -> Callable[..., Excerpt]:
    return excerpt_of


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """`scene(start_s, end_s, ...)`: what `hear` makes of the rest, in this stretch."""

    def make(
        start_s: float = 0.0, end_s: float = 10.0, *, title: str = "yard.wav", **heard: Any
    ) -> Scene:
        given = {"codes": np.arange(250), "windows": (0, 100), **heard}
        return scene_of(hearing_of(**given), excerpt_of(start_s, end_s), title=title)

    return make
