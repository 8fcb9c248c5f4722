"""Recordings, for rooms that read them."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_wav() -> Callable[[Path, np.ndarray], None]:
    """`write_wav(path, samples)`: PCM of 16 bits, mono, 16 kHz."""

    def write(path: Path, samples: np.ndarray) -> None:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((samples * 32767).astype("<i2").tobytes())

    return write
