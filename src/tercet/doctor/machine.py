"""What can be seen without any package: folders, disks, GPUs, the environment."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tercet.doctor.facts import Cache

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SCAN_S = 0.4  # for the size of one cache: ten thousand files, about
_NVIDIA_SMI_S = 3  # it hangs where a driver does


def look_at_cache(name: str, folder: Path) -> Cache:
    """Size, free space, and whether it can be written to; makes nothing that stays."""
    size_bytes, unfinished, is_complete = 0, 0, True
    end_s = time.monotonic() + _SCAN_S
    for entry in _files(folder):
        size_bytes += entry.stat(follow_symlinks=False).st_size
        unfinished += entry.name.endswith(".incomplete")
        if time.monotonic() > end_s:
            is_complete = False
            break
    there = nearest_existing(folder)
    return Cache(
        name=name,
        folder=without_home(str(folder)),
        is_there=folder.is_dir(),
        is_writable=_is_writable(there),
        size_bytes=size_bytes,
        is_size_complete=is_complete,
        free_bytes=_free_bytes(there),
        unfinished=unfinished,
    )


def cache_home() -> Path:
    """Where programs keep what can be fetched again (`XDG_CACHE_HOME`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def nearest_existing(folder: Path) -> Path:
    """The folder, or the first one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), Path(folder.anchor))


def nvidia_gpus() -> tuple[str, ...]:
    """What `nvidia-smi` lists: "name, memory, driver version" each; nothing where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        run = subprocess.run(
            [program, query, "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_NVIDIA_SMI_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(
        line.strip() for line in run.stdout.splitlines() if line.strip() and not run.returncode
    )


def proxies(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The proxy variables that are set; their values may hold passwords."""
    return tuple(
        sorted(name for name, value in environment.items() if name.lower() in _PROXIES and value)
    )


def without_secrets(address: str) -> str:
    """An address without user, password and query."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not an address)"
    return f"{parts.scheme}://{host}{port}{parts.path}" if host else "(not an address)"


def without_home(text: str) -> str:
    """The home folder, which often is a person's name, as ~."""
    try:
        home = str(Path.home())
    except RuntimeError:
        return text
    return text.replace(home, "~") if len(home) > 1 else text


def _files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Files below a folder; links are not followed, so that each blob counts once."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        yield entry
        except OSError:  # not there, or not ours to look at
            continue


def _is_writable(folder: Path) -> bool:
    """Tried, with a file that has no name: permissions alone do not know of read-only disks."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
