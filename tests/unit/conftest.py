"""Recordings, for rooms that read them, and labels."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.dataset.label_table import Label, Span

TIME = 50364  # <|0.00|>


def label(number: int, **changes: Any) -> Label:
    """Label `n`: 2 s by speaker `n // 3`, ids `300 + n` and `400 + n` between two timestamps."""
    told: dict[str, Any] = {
        "id": f"w{number}",
        "recording": f"w{number}",
        "is_last": True,
        "spans": (Span(f"{number}.wav", 0.0, 2.0, 0.0),),
        "duration_s": 2.0,
        "speech_s": 2.0,
        "cut": "end",
        "speaker": f"s{number // 3}",
        "previous": f"w{number - 1}" if number % 3 else None,
        "language": "en",
        "language_probability": None,
        "text": f"text {number}",
        "text_ids": (TIME, 300 + number, 400 + number, TIME + 100),
        "segments": (),
        "avg_logprob": -0.1,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
        "temperature": 0.0,
        "is_cut_off": False,
        "fault": None,
        "reference": None,
        "reference_of": None,
        "extra": {"domain": "odd" if number % 2 else "even"},
        "teacher": "teacher",
        "encoder": "e",
        "settings": "s",
    }
    return Label(**(told | changes))


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


@pytest.fixture
def label_of() -> Callable[..., Label]:
    """`label_of(n, text="..")`: see `label`."""
    return label
