"""What every test may ask for. A missing thing skips the test with a reason, or fails it under `TERCET_REQUIRE`."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = frozenset(filter(None, os.environ.get("TERCET_REQUIRE", "").replace(" ", "").split(",")))


def missing(requirement: str, reason: str) -> None:
    """Skip, or fail when `TERCET_REQUIRE` names the requirement."""
    if requirement in REQUIRED:
        pytest.fail(f"TERCET_REQUIRE names {requirement!r}, but {reason}", pytrace=False)
    pytest.skip(f"needs {requirement}: {reason}")


def need_module(module: str, requirement: str | None = None) -> None:
    """The module can be imported (requirement defaults to its name)."""
    if importlib.util.find_spec(module) is None:
        missing(requirement or module, f"the module {module} is not installed")


def need_program(program: str) -> str:
    """The path of a program."""
    found = shutil.which(program)
    if found is None:
        missing(program, f"the program {program} is not installed")
    return str(found)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real speech and sounds (`TERCET_DATA`); requirement `shared`."""
    folder = Path(os.environ.get("TERCET_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        missing("shared", f"no data at {folder}; set TERCET_DATA")
    return folder


@pytest.fixture(scope="session")
def genuine_base() -> Path:
    """OpenAI's float16 Whisper base in CTranslate2's layout (`TERCET_WHISPER_BASE`); requirement `whisper-base`."""
    named = os.environ.get("TERCET_WHISPER_BASE")
    if not named or not (Path(named) / "model.bin").is_file():
        missing("whisper-base", "TERCET_WHISPER_BASE names no folder with OpenAI's float16 weights")
    return Path(str(named))


@pytest.fixture(scope="session")
def clips_dir() -> Path:
    """The clips that the repository carries."""
    return ROOT / "tests" / "clips"
