"""Small sounds, manifests of them, and ears that need no encoder."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tercet.dataset.encoded import About
from tercet.train.tags.encoding import Ears

RATE_HZ = 16000
LAYERS, WIDTH = 2, 32


def beep(frequency_hz: float, duration_s: float, *, start_s: float = 0.0) -> np.ndarray:
    """A tone, with silence before it."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * frequency_hz * time_s)
    return np.concatenate([np.zeros(round(start_s * RATE_HZ)), tone]).astype(np.float32)


@pytest.fixture
def sounds(tmp_path: Path, write_wav: Callable[[Path, np.ndarray], None]) -> Path:
    """A data folder: "Dog" is a high tone, "Rain" a low one, speech is in the middle; fold 4 is held out."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    kinds = {"dogs": ("Dog", 3000.0), "rains": ("Rain", 200.0), "voices": (None, 1000.0)}
    for name, (label, frequency_hz) in kinds.items():
        (root / name).mkdir(parents=True)
        rows = []
        for number in range(8):
            tone = beep(frequency_hz * rng.uniform(0.9, 1.1), rng.uniform(1.0, 2.0), start_s=0.2)
            write_wav(root / name / f"{name}{number}.wav", tone)
            row: dict[str, object] = {"path": f"{name}{number}.wav", "fold": number % 4 + 1}
            row |= {"speaker": f"speaker-{number}"}
            row |= {"text": "words"} if label is None else {"audioset_labels": [label]}
            rows.append(json.dumps(row))
        (root / name / "manifest.jsonl").write_text("\n".join(rows))
    return root


@pytest.fixture
def make_ears() -> Callable[..., Ears]:
    """Ears whose taps are energies of bands, projected at random: no encoder is run."""

    def make(about: About) -> Ears:
        mixing = np.random.default_rng(1).normal(size=(LAYERS, 12, WIDTH))

        def taps_of(samples: np.ndarray) -> np.ndarray:
            frames = -(-samples.size // 6400)
            padded = np.pad(samples, (0, frames * 6400 - samples.size)).reshape(frames, 6400)
            spectrum = np.abs(np.fft.rfft(padded, axis=1))[:, :3200].reshape(frames, 100, 32)
            edges = np.unique(np.geomspace(1, 100, 13).astype(int))
            bands = [spectrum[:, a:b].sum((1, 2)) for a, b in pairwise(edges)]
            energies = np.log10(np.array(bands).T + 1e-3)
            energies = np.pad(energies, ((0, 0), (0, 12 - energies.shape[1])))
            return (energies @ mixing).astype(np.float32)

        return Ears(taps_of=taps_of, about=about)

    return make
