"""The shipped model, loaded once, and the clips as samples."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tercet
from tercet.audio.load import load


@pytest.fixture(scope="session")
def shipped(base_model: Path) -> tercet.Model:
    """The model that the distribution tercet-base brings, in int8."""
    return tercet.load_model(base_model, threads=2)


@pytest.fixture(scope="session")
def clip(clips_dir: Path) -> Callable[[str], Path]:
    """`clip("librispeech-4507")`: the one clip whose name begins so."""

    def find(start: str) -> Path:
        (found,) = clips_dir.glob(f"{start}*")
        return found

    return find


@pytest.fixture(scope="session")
def sound(clip) -> Callable[[str], np.ndarray]:
    """The same as float32 samples at 16 kHz."""
    return lambda start: load(clip(start)).read()
