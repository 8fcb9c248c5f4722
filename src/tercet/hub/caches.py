"""What other programs and earlier runs left on this machine: the hub's cache, openai-whisper's.

Reads only. The hub's cache is laid out as huggingface_hub documents it: `models--owner--name` with
`refs` (branch -> commit), `snapshots` (a folder of links per commit) and `blobs` (the files, each
named by its checksum).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tercet.catalog import KnownModel
from tercet.hub.layout import holds_model

_PREFIX = "models--"


def cache_root() -> Path:
    """The hub's cache (`HF_HUB_CACHE`, or `hub` in `HF_HOME`); it need not be there."""
    from huggingface_hub import constants  # late: it costs import time

    return Path(constants.HF_HUB_CACHE)


def whisper_cache() -> Path:
    """Where openai-whisper, and whisper-at after it, keep what they download; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"


def repository_folder(repository: str) -> Path:
    """Where the hub's cache keeps a repository, if it has it."""
    return cache_root() / f"{_PREFIX}{repository.replace('/', '--')}"


def cached_repositories() -> Iterator[str]:
    """The hub ids of all models in the cache, whole or not."""
    root = cache_root()
    if root.is_dir():
        for folder in sorted(root.glob(f"{_PREFIX}*")):
            if folder.is_dir():
                yield folder.name.removeprefix(_PREFIX).replace("--", "/", 1)


def snapshot_folder(repository: str, *, revision: str | None = None) -> Path | None:
    """The snapshot of a branch, tag or commit in the hub's cache, whole or not."""
    folder = repository_folder(repository)
    revision = revision or "main"
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = revision
    # A commit is a name in `snapshots`, never a way out of it.
    if not commit or "/" in commit or os.sep in commit or commit in (".", ".."):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def cached_snapshot(repository: str, *, revision: str | None = None) -> Path | None:
    """The same, if it holds a whole model."""
    folder = snapshot_folder(repository, revision=revision)
    return folder if folder is not None and holds_model(folder) else None


def unfinished_files(repository: str) -> list[Path]:
    """What interrupted downloads of a repository left behind."""
    return sorted((repository_folder(repository) / "blobs").glob("*.incomplete"))


def openai_file(known: KnownModel, *names: str) -> Path | None:
    """The `.pt` file that openai-whisper downloaded under one of the model's names."""
    cache = whisper_cache()
    files = (cache / f"{each}.pt" for each in dict.fromkeys((known.name, *names)))
    return next((file for file in files if file.is_file()), None)
