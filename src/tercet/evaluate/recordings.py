"""Rows of a manifest as sound, and which of its rows are looked at. Nothing is heard here."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np

from tercet.audio.load import load
from tercet.dataset.manifests import Manifest, Row
from tercet.errors import DataError
from tercet.train.sets import value_of

RATE_HZ = 16000


def samples_of(row: Row) -> np.ndarray:
    """A row's own part of its recording: float32 [n], mono, 16 kHz.

    Raises:
        AudioError: the recording cannot be heard.
        DataError: it ends before the row's part begins.
    """
    whole = load(row.audio).read()
    first = round(row.start_s * RATE_HZ)
    last = None if row.duration_s is None else first + round(row.duration_s * RATE_HZ)
    part = whole[first:last]
    if not part.size:
        lasts = f"lasts {whole.size / RATE_HZ:.2f} s"
        raise DataError(f"{row.audio}: starts at {row.start_s:g} s, and {lasts}; mend the manifest")
    return part


def chosen(manifest: Manifest, where: Mapping[str, str], every: int = 1) -> Manifest:
    """The rows whose fields match, and of those every so many.

    Args:
        manifest: All rows.
        where: Field (speaker, language, split, name, or a column of the file) -> pattern with `*`, `?`.
        every: 1 takes all that match, 5 the first, the sixth, ...

    Raises:
        DataError: no row is left.
    """
    rows = manifest.rows
    for field, pattern in where.items():
        rows = tuple(row for row in rows if fnmatchcase(str(value_of(row, field)), pattern))
        if not rows:
            told = sorted({str(value_of(row, field)) for row in manifest.rows} - {""})
            there = (
                f"it is {', '.join(told[:5])}{' ...' * (len(told) > 5)}"
                if told
                else "it is nowhere"
            )
            raise DataError(f"{manifest.path}: no row has {field} {pattern!r} ({there})")
    return Manifest(manifest.path, rows[::every], manifest.faults)
