"""A fresh interpreter prints what it loaded: listening needs no torch, and a start loads little.

The program prints its answer; an ImportError would make a silent check pass for the wrong reason.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

TORCH_SIDE = frozenset({"torch", "transformers", "whisper", "faster_whisper", "lightning"})
HEAVY = frozenset({"onnxruntime", "onnx", "av", "huggingface_hub", "scipy", "numba"})
REPORT = "\nimport sys\nprint('loaded:', *sorted({name.split('.')[0] for name in sys.modules}))"


def loaded_after(program: str) -> frozenset[str]:
    """Top-level modules in the memory of a fresh interpreter after `program`."""
    run = subprocess.run(
        [sys.executable, "-c", program + REPORT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    [line] = [line for line in run.stdout.splitlines() if line.startswith("loaded:")]
    return frozenset(line.split()[1:])


def test_import_tercet_loads_no_torch_and_nothing_heavy() -> None:
    loaded = loaded_after("import tercet")
    assert "tercet" in loaded
    assert frozenset() == loaded & (TORCH_SIDE | HEAVY)


def test_asking_for_the_version_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom tercet.cli.main import run\nsys.argv = ['tercet', '--version']\n"
        "try:\n    run()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert frozenset() == loaded_after(program) & (TORCH_SIDE | HEAVY)


def test_listening_loads_no_torch(base_model: Path, example: Path) -> None:
    program = (
        f"import tercet\nmodel = tercet.load_model({str(base_model)!r})\n"
        f"assert model.transcribe({str(example)!r}).text"
    )
    loaded = loaded_after(program)
    assert "onnxruntime" in loaded
    assert frozenset() == loaded & TORCH_SIDE


def test_the_probe_sees_torch_where_it_is_loaded(peer: Callable[[str], ModuleType]) -> None:
    peer("torch")
    assert "torch" in loaded_after("import torch")
