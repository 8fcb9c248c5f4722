"""What this process may use of its machine: the control groups' limits on processor time and memory.

A container sees all of its host's cores and memory, and is throttled or killed when it uses more than its
share. Reads Linux' control groups, version 2 and 1. What memory is still free is in `memory.py`.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_NO_LIMIT = 1 << 60  # version 1 writes the largest whole number of pages where there is no limit


def cpu_quota(root: Path = _ROOT) -> int | None:
    """Cores that the control groups allow at once, rounded up; None: as many as there are.

    `root` is where the file system starts (for tests).
    """
    quotas = [quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None]
    return math.ceil(min(quotas)) if quotas else None


def total_memory_bytes(root: Path = _ROOT) -> int | None:
    """Memory of the machine, or of the container where that is less; None where nobody says."""
    amounts = [_machine_memory(root)]
    for folder in _groups(root, "memory"):
        amounts += [_number(folder / "memory.max"), _number(folder / "memory.limit_in_bytes")]
    limits = [amount for amount in amounts if amount is not None and amount < _NO_LIMIT]
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process' control group and of those around it.

    In a container the path may be the host's, which is not there; then its root is the container's own group.
    """
    base = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            top = base  # version 2
        elif controller in controllers.split(","):
            top = base / controller  # version 1: a folder for each controller
            top = top if top.is_dir() else base / controllers
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        yield from (top.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _quota(folder: Path) -> float | None:
    words = _words(folder / "cpu.max")  # version 2: "200000 100000" or "max 100000"
    if not words:
        words = [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
    try:
        quota_us, period_us = (int(word) for word in words)
    except ValueError:  # "max", or none of these files
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _machine_memory(root: Path) -> int | None:
    words = _words(root / "proc/meminfo")[:2]  # the first line: "MemTotal: 24683108 kB"
    if words[:1] == ["MemTotal:"] and words[-1].isdecimal():
        return int(words[-1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def _number(file: Path) -> int | None:
    words = _words(file)
    return int(words[0]) if words and words[0].isdecimal() else None
