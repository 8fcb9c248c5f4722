from types import SimpleNamespace
from typing import Any

import numpy as np

from tercet.evaluate.tapped_model import taps_from


class FakeEncoder:
    """Keeps what it was given; a window has 75 taps of two layers."""

    geometry = SimpleNamespace(n_mels=80)

    def __init__(self) -> None:
        self.given: list[tuple[tuple[int, ...], int]] = []

    def encode(self, mel: np.ndarray, *, real_frames: int) -> Any:
        self.given.append((mel.shape, real_frames))
        return SimpleNamespace(taps=np.ones((2, 75, 4), np.float32))


def test_only_taps_that_hold_sound_are_given() -> None:
    encoder = FakeEncoder()
    taps_of = taps_from(encoder)  # type: ignore[arg-type]
    # 1 s is 50 states, which begin three taps of 20; 0.4 s and a sample begin the second.
    assert (2, 3, 4) == taps_of(np.ones(16000, np.float32)).shape
    assert (2, 2, 4) == taps_of(np.ones(6401, np.float32)).shape
    assert (2, 75, 4) == taps_of(np.ones(480000, np.float32)).shape
    assert [((80, 3000), 50), ((80, 3000), 21), ((80, 3000), 1500)] == encoder.given
