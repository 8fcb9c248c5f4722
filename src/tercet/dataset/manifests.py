"""Manifests: lists of recordings and what is known about them, from whichever file they are in.

Everything that is wrong is told at once, before an hour of work. Files: `manifest_files`, rows:
`manifest_rows`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tercet.audio.archives import is_recording
from tercet.dataset.audioset_layout import CLASS_LIST, audioset_rows, class_names
from tercet.dataset.manifest_files import IN_FOLDER, Written, folder_rows, written_rows
from tercet.dataset.manifest_rows import NAMES, Event, Known, Row, build_row
from tercet.dataset.webdataset import base_of, is_shards, shard_rows
from tercet.errors import DataError

__all__ = ["Event", "Manifest", "Row", "read_manifest"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Rows that are right."""

    path: Path
    rows: tuple[Row, ...]
    faults: tuple[str, ...] = ()  # of rows that were left out

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def folder(self) -> Path:
        """Where it is: a corpus that moves moves with it."""
        return base_of(self.path)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in order of appearance."""
        return tuple(dict.fromkeys(row.split for row in self.rows if row.split is not None))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all labels of rows and events, sorted."""
        names = {name for row in self.rows for name in row.labels}
        return tuple(sorted(names | {event[2] for row in self.rows for event in row.events}))

    def split(self, name: str) -> "Manifest":
        """The rows of one split.

        Raises:
            DataError: there are none.
        """
        rows = tuple(row for row in self.rows if row.split == name)
        if not rows:
            raise DataError(f"{self.path}: {_empty_split(name, self.splits)}")
        return Manifest(self.path, rows, self.faults)


def read_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    labels: Collection[str] | None = None,
    class_list: str | Path | None = None,
    splits: Sequence[str] = (),
    skip_broken: bool = False,
    check_files: bool = True,
    text_column: str | None = None,
) -> Manifest:
    """Read a manifest, all of it.

    Args:
        path: A .csv, .tsv, .jsonl or .parquet file; AudioSet's .json; a folder of recordings (or with one
            of these, called manifest); WebDataset's .tar, a pattern of several, or a folder of them.
        root: Relative paths start here; None: the manifest's folder.
        labels: The names that may occur; None: any.
        class_list: AudioSet's `class_labels_indices.csv`, which turns identifiers into names. For its layout
            the one beside the file, or AudioSet's 527, if left out.
        splits: Names of splits that must not be empty.
        skip_broken: Leave rows with faults out, and tell them in `Manifest.faults`.
        check_files: Look whether the recordings are there.
        text_column: What the column of texts is called, where it has another name than is usual.

    Raises:
        DataError: rows have faults (all are in its `faults`), a split is empty, there are no rows.
    """
    path = Path(path)
    is_audioset = path.suffix.lower() == ".json"
    if class_list is None and is_audioset and (path.parent / CLASS_LIST).is_file():
        class_list = path.parent / CLASS_LIST
    names = class_names(None if class_list is None else Path(class_list))
    if is_audioset and labels is None:
        labels = frozenset(names.values())
    if path.is_dir():
        path = next((path / name for name in IN_FOLDER if (path / name).is_file()), path)
    known = Known(
        root=Path(root) if root is not None else base_of(path),
        labels=labels,
        names=names if is_audioset or class_list is not None else {},
        has_audio=is_recording if check_files else lambda _: True,
    )
    written = list(_rows_of(path))
    if text_column is not None:
        written = _with_texts(path, written, text_column)
    rows, faults = _checked(written, known)
    present = {row.split for row in rows}
    empty = [name for name in splits if name not in present]
    told = [_empty_split(name, [each for each in present if each]) for name in empty]
    if empty or (faults and not skip_broken):
        advice = "mend them" if empty else "mend them, or leave these rows out (skip_broken)"
        count = f": {len(faults)} faults" if faults else ""
        raise DataError.of_faults(f"{path}{count}", [*told, *faults], advice)
    if not rows:
        raise DataError(f"{path}: has no rows that can be used; there is nothing to read")
    return Manifest(path, tuple(rows), tuple(faults))


def _rows_of(path: Path) -> Iterator[Written]:
    if is_shards(path) and not path.is_dir():
        return shard_rows(path)
    if path.is_dir():
        rows = folder_rows(path)
        first = next(rows, None)
        # Beside unpacked recordings lie the archives that they came from: those are not read again.
        return shard_rows(path) if first is None else chain([first], rows)
    if path.suffix.lower() == ".json":
        return audioset_rows(path)
    return written_rows(path)


def _with_texts(path: Path, written: Sequence[Written], column: str) -> list[Written]:
    """Rows whose text is in this column, whatever else looks like one."""
    if not any(column in each.values for each in written):
        there = ", ".join(dict.fromkeys(name for each in written for name in each.values))
        raise DataError(f"{path}: no row has a column {column!r} (there are {there or 'none'})")
    return [
        each._replace(
            values={
                f"original_{name}" if NAMES.get(name) == "text" else name: value
                for name, value in each.values.items()
                if name != column
            }
            | {"text": each.values.get(column)}
        )
        for each in written
    ]


def _checked(written: Sequence[Written], known: Known) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    faults: list[str] = []
    for place, values, fault in written:
        row, wrong = (None, [fault]) if fault else build_row(values, known)
        faults += [f"{place}: {each}" for each in wrong]
        if row is not None:
            rows.append(row)
    return rows, faults


def _empty_split(name: str, present: Sequence[str]) -> str:
    there = f"there are {', '.join(sorted(present))}" if present else "no row names a split"
    return f"split {name!r} is empty ({there})"
