"""Which recordings are heard together: short ones of a speaker are packed, long ones stand alone.

Nothing is opened here but files that do not say how long they are.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tercet.dataset.manifests import Row

Length = Callable[[Path], float | None]  # seconds; None: the file does not say


@dataclass(frozen=True, slots=True)
class Job:
    """One or more rows that become one window, or one row that is cut into windows."""

    id: str  # of its window, too, where it is one
    rows: tuple[Row, ...]
    is_one_window: bool
    speaker: str | None
    previous: str | None = None  # the job of one window before it, where both are of one speaker


def jobs_of(
    rows: Iterable[Row], *, root: Path, pack_s: float, gap_s: float, length_of: Length
) -> list[Job]:
    """Sort rows by speaker and place, and pack neighbours.

    A row without a speaker is packed with parts of its own recording alone: who speaks elsewhere is not
    known. A pack is as full as its neighbours allow, 30 s to the sample included; the order is kept, so that
    a pack's text is what was said before the next one's. A row that is there twice counts once.

    Args:
        rows: Of a manifest.
        root: Its folder; names are relative to it, so that a moved corpus keeps its ids.
        pack_s: The longest pack; 0: every row by itself.
        gap_s: Silence between rows of a pack.
        length_of: Asked for files whose row says no duration.
    """
    measured = [_measured(row, length_of) for row in rows]
    distinct = {(row.audio, row.start_s, row.duration_s, row.speaker): row for row in measured}
    ordered = sorted(
        distinct.values(), key=lambda row: (row.speaker or "", str(row.audio), row.start_s)
    )
    jobs: list[Job] = []
    pack: list[Row] = []
    for row in ordered:
        if pack and not (
            _are_neighbours(pack[-1], row) and _length_s([*pack, row], gap_s) <= pack_s + 1e-6
        ):
            jobs.append(_packed(pack, jobs, root))
            pack = []
        if row.duration_s is None or row.duration_s > 30.0:
            jobs.append(Job(_id_of([row], root), (row,), False, row.speaker))
        else:
            pack.append(row)
            if not pack_s:
                jobs.append(_packed(pack, jobs, root))
                pack = []
    if pack:
        jobs.append(_packed(pack, jobs, root))
    return jobs


def _measured(row: Row, length_of: Length) -> Row:
    """The row with its length, where anything says it."""
    if row.duration_s is not None:
        return row
    length_s = length_of(row.audio)
    return row if length_s is None else replace(row, duration_s=max(0.0, length_s - row.start_s))


def _are_neighbours(left: Row, right: Row) -> bool:
    if left.duration_s is None or right.duration_s is None or left.language != right.language:
        return False
    if left.speaker is None or right.speaker is None:
        return left.speaker == right.speaker and left.audio == right.audio
    return left.speaker == right.speaker


def _length_s(rows: Sequence[Row], gap_s: float) -> float:
    return sum(row.duration_s or 0.0 for row in rows) + gap_s * (len(rows) - 1)


def _packed(rows: Sequence[Row], before: Sequence[Job], root: Path) -> Job:
    last = before[-1] if before else None
    follows = last is not None and last.is_one_window and _are_neighbours(last.rows[-1], rows[0])
    previous = last.id if last is not None and follows else None
    return Job(_id_of(rows, root), tuple(rows), True, rows[0].speaker, previous)


def _id_of(rows: Sequence[Row], root: Path) -> str:
    """A name for people, and a hash of what is in it."""
    names = [
        f"{_relative(row.audio, root)}@{row.start_s}+{row.duration_s} {row.speaker}" for row in rows
    ]
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    stem = rows[0].audio.stem.encode("utf-8", "replace").decode()
    return f"{stem}-{digest[:10]}"


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
