"""Small voices, windows of made-up states, and a Whisper of random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.checkpoint.geometry import Geometry
from tercet.train.waveforms import coloured_noise

GEOMETRY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=1,
    decoder_heads=2,
    vocab_size=51865,
)


@pytest.fixture(scope="session")
def voices(
    tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[[Path, np.ndarray], None]
) -> Path:
    """A data folder: `voices` has 4 speakers of 4 utterances of 1.0, 1.5, 2.0 and 2.5 s each."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "voices"
    folder.mkdir()
    rows = []
    for number in range(16):
        duration_s = 1.0 + 0.5 * (number % 4)
        sound = 0.1 * coloured_noise(round(16000 * duration_s), 1.0, np.random.default_rng(number))
        write_wav(folder / f"{number:02d}.wav", np.clip(sound, -1, 1))
        rows.append(
            {
                "path": f"{number:02d}.wav",
                "duration_s": duration_s,
                "text": f"w{300 + number} w{400 + number}",
                "speaker": f"speaker-{number // 4}",
                "lang": "en",
            }
        )
    (folder / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return root


@pytest.fixture
def whisper(
    random_checkpoint: Callable[..., Any],
    byte_tokenizer_file: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A random checkpoint, which `find_model` and `open_checkpoint` of the run give."""
    from tercet.text.tokenizer import Tokenizer
    from tercet.train.tokens import hearing, running

    checkpoint = random_checkpoint(GEOMETRY)
    tokenizer = Tokenizer.from_file(byte_tokenizer_file(GEOMETRY.vocab_size), GEOMETRY)
    monkeypatch.setattr(running, "find_model", lambda name: Path(name))
    monkeypatch.setattr(running, "open_checkpoint", lambda path: checkpoint)
    monkeypatch.setattr(hearing, "tokenizer_of", lambda checkpoint: tokenizer)
    return checkpoint
