"""A toy task for the loop (`toy_run.py`)."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


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
