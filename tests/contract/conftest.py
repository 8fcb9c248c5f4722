"""What the contract tests share: the repository's root, its tracked files, an example recording."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCE = {"build", "dist", "__pycache__"}


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def tracked_files() -> list[Path]:
    """Files that belong to the repository; without git, all but the usual build outputs."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name.decode() for name in listing.split(b"\0") if name]
    else:
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") or part in NOT_SOURCE for part in path.parts)
        ]
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="session")
def example() -> Path:
    """The first recording in examples/, the one that `make demo` listens to."""
    kinds = {".opus", ".flac", ".wav", ".ogg"}
    return min(path for path in (ROOT / "examples").iterdir() if path.suffix in kinds)
