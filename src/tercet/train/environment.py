"""What a run was made with: commit, versions, machine, command line. Nothing that tells who made it."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "tercet",
    "torch",
    "lightning",
    "torchmetrics",
    "vector-quantize-pytorch",
    "numpy",
    "onnxruntime",
)


def environment() -> dict[str, Any]:
    """A form for `environment.json`; one for each piece of a resumed run."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def commit() -> str | None:
    """The commit of the source that runs, with `+changes` where files differ; None outside git."""
    folder = Path(__file__).parent
    found = _git(folder, "rev-parse", "HEAD")
    if found is None or _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None  # an installed copy below some other project's repository
    return f"{found}+changes" if _git(folder, "status", "--porcelain", "-uno") else found


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
