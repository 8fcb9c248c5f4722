"""Asks `probe.py`, in processes of their own, what can be imported; survives whatever happens there."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one name."""

    found: dict[str, Any] = field(default_factory=dict)  # as `probe.py` wrote it
    error: str | None = None
    is_late: bool = False  # it was still at work when its time was over


@dataclass(frozen=True, slots=True)
class Group:
    """Names that are examined one after another in one process."""

    names: tuple[str, ...]
    timeout_s: float  # of the whole group


def examine(groups: Sequence[Group]) -> dict[str, Finding]:
    """Examine all groups at the same time."""
    with ThreadPoolExecutor(max_workers=max(1, len(groups))) as threads:
        parts = list(threads.map(_examine_group, groups))
    return {name: finding for part in parts for name, finding in part.items()}


def _examine_group(group: Group) -> dict[str, Finding]:
    """Start the probe; where a name took it down, start it again with those behind."""
    findings: dict[str, Finding] = {}
    end_s = time.monotonic() + group.timeout_s
    left = list(group.names)
    while left:
        text, verdict = _run_probe(left, end_s - time.monotonic())
        for line in text.splitlines():
            answer = json.loads(line)
            findings[answer["name"]] = Finding(answer.get("found", {}), answer.get("error"))
        left = [name for name in left if name not in findings]
        if left:
            findings[left.pop(0)] = verdict
    return findings


def _run_probe(names: Sequence[str], timeout_s: float) -> tuple[str, Finding]:
    """The probe's answers, and what to say of the name that it did not come to."""
    # -P: a file of the working folder that is called "av.py" is not the package.
    command = [sys.executable, "-P", "-m", "tercet.doctor.probe", *names]
    try:
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=max(0.1, timeout_s), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return _whole_lines(late.stdout or b""), Finding(error="takes too long", is_late=True)
    except OSError as error:
        return "", Finding(error=f"Python cannot be started again: {error}")
    return _whole_lines(run.stdout), Finding(error=_death(run.returncode))


def _whole_lines(output: bytes) -> str:
    """Without a last line that was cut off."""
    return output[: output.rfind(b"\n") + 1].decode(errors="replace")


def _death(code: int) -> str:
    """Why the process ended before its answer."""
    if code >= 0:
        return f"ends Python with exit code {code}"
    try:
        return f"crashes Python ({signal.Signals(-code).name})"
    except ValueError:
        return f"crashes Python (signal {-code})"
