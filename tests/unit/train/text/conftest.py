"""Two Whispers of random weights: a teacher and its student."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tercet.checkpoint.arrays import MemoryCheckpoint
from tercet.checkpoint.geometry import Geometry

GEOMETRY = Geometry(
    n_mels=80,
    width=32,
    encoder_layers=1,
    encoder_heads=2,
    decoder_layers=2,
    decoder_heads=2,
    vocab_size=51865,
)


@dataclass
class Pair:
    """What `open_checkpoint` finds by name."""

    teacher: MemoryCheckpoint
    student: MemoryCheckpoint


@pytest.fixture
def pair(
    random_checkpoint: Callable[..., MemoryCheckpoint],
    byte_tokenizer_file: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Pair:
    """A teacher of two decoder layers; its student has the last one."""
    from tercet.train.text import running

    teacher = random_checkpoint(GEOMETRY)
    kept = {
        name.replace("decoder.layers.1.", "decoder.layers.0."): value
        for name, value in teacher.arrays.items()
        if "decoder.layers.0." not in name
    }
    student = MemoryCheckpoint(replace(GEOMETRY, decoder_layers=1), kept)
    for each in (teacher, student):
        each.tokenizer_file = byte_tokenizer_file(GEOMETRY.vocab_size)
    made = Pair(teacher, student)
    monkeypatch.setattr(running, "find_model", lambda name: Path(name))
    monkeypatch.setattr(running, "open_checkpoint", lambda path: getattr(made, path.name))
    return made
