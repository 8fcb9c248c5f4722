"""A toy task for the loop (`toy_run.py`), and labelled recordings of noise."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tercet.dataset.label_table import Label, Span
from tercet.dataset.label_writing import LabelWriter
from tercet.dataset.verdicts import Verdict, write_verdicts
from tercet.train.waveforms import coloured_noise


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
def labels(
    recordings: Path,
    store: Callable[..., Path],
    label_of: Callable[..., Label],
    tmp_path: Path,
) -> Path:
    """A data folder whose `speech` holds labels of the recordings; speaker s3 has the last three."""
    made = [
        label_of(n, spans=(Span(str(recordings / f"{n}.wav"), 0.0, 2.0, 0.0),)) for n in range(12)
    ]
    store(tmp_path / "data" / "speech", made)
    return tmp_path / "data"


@pytest.fixture
def figures() -> Callable[[Path, str], list[float]]:
    """`figures(run_folder, "loss")`: a figure of each line of the log that has it."""

    def read(folder: Path, name: str) -> list[float]:
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [line[name] for line in lines if name in line]

    return read
