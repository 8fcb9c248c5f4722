"""A toy task for the loop (`toy_run.py`), and labelled recordings of noise."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tercet.dataset.label_table import Label, Span
from tercet.dataset.label_writing import LabelWriter
from tercet.dataset.verdicts import Verdict, write_verdicts
from tercet.train.waveforms import coloured_noise

TIME = 50364  # <|0.00|>


@pytest.fixture(scope="session")
def toy(peer: Callable[[str], ModuleType]) -> ModuleType:
    """`toy.toy_fit(folder, ..)` and what belongs to it; requirements `torch` and `lightning`."""
    for name in ("torch", "lightning"):
        peer(name)
    path = Path(__file__).parent / "toy_run.py"  # by its path: tests are no package
    spec = importlib.util.spec_from_file_location("tercet_toy_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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


@pytest.fixture
def label_of() -> Callable[..., Label]:
    return label


@pytest.fixture
def store() -> Callable[..., Path]:
    """`store(folder, labels, dropped=("w3",))`: a folder of labels and verdicts."""

    def write(folder: Path, labels: list[Label], *, dropped: tuple[str, ...] = ()) -> Path:
        with LabelWriter(folder, {"task": "transcribe"}) as writer:
            writer.add(labels)
        verdicts = [
            Verdict(
                id=each.id,
                kept=each.id not in dropped,
                reason=None,
                wer=None,
                cer=None,
                reference_words=None,
            )
            for each in labels
        ]
        write_verdicts(folder, verdicts, "{}")
        return folder

    return write


@pytest.fixture(scope="session")
def recordings(
    tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[[Path, np.ndarray], None]
) -> Path:
    """12 files of 2 s of noise, each another one."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(12):
        sound = 0.1 * coloured_noise(32000, number / 6, np.random.default_rng(number))
        write_wav(folder / f"{number}.wav", np.clip(sound, -1, 1))
    return folder


@pytest.fixture
def labels(recordings: Path, store: Callable[..., Path], tmp_path: Path) -> Path:
    """A data folder whose `speech` holds labels of the recordings; speaker s3 has the last three."""
    made = [label(n, spans=(Span(str(recordings / f"{n}.wav"), 0.0, 2.0, 0.0),)) for n in range(12)]
    store(tmp_path / "data" / "speech", made)
    return tmp_path / "data"
