"""Small recordings on the disk for evaluations."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet.dataset.manifests import Row


@pytest.fixture
def sound_file(tmp_path: Path) -> Callable[..., Path]:
    """`sound_file("a", n_samples, level)`: a sine of 16 kHz and 16 bits; level 0 is silence."""

    def write(name: str, n_samples: int = 3200, level: float = 0.1, period: int = 20) -> Path:
        places = np.arange(n_samples)
        samples = (level * 32767 * np.sin(2 * np.pi * places / period)).astype("<i2")
        path = tmp_path / f"{name}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(samples.tobytes())
        return path

    return write


@pytest.fixture
def sound_row(sound_file: Callable[..., Path]) -> Callable[..., Row]:
    """`sound_row("a", n_samples, text="..")`: a row of such a file."""

    def make(name: str, n_samples: int = 3200, level: float = 0.1, **told: object) -> Row:
        return Row(audio=sound_file(name, n_samples, level), **told)  # type: ignore[arg-type]

    return make
