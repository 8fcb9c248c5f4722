"""The files that manifests come in: CSV, JSON Lines, Parquet, a folder of recordings. Rows as written.

What a row means, and whether it is right, is said in `manifest_rows`; AudioSet's layout is `audioset_layout`.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tercet.dataset.sound_columns import sound_column
from tercet.errors import DataError

SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
IN_FOLDER = ("manifest.jsonl", "manifest.csv", "manifest.parquet")
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aiff", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".webm", ".wma"}
)


class Written(NamedTuple):
    """One row as a file has it."""

    place: str  # "line 3"
    values: dict[str, Any]
    fault: str = ""  # the row cannot be read at all


def written_rows(path: Path) -> Iterator[Written]:
    """All rows of a CSV, TSV, JSON Lines or Parquet file, broken ones among them.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None and not path.exists():
        raise DataError(f"{path}: no such manifest; check the path")
    if kind is None:
        raise DataError(
            f"{path}: is no manifest; give {', '.join(SUFFIXES)}, AudioSet's .json, .tar, or a folder"
        )
    try:
        if kind == "parquet":
            yield from _parquet(path)
        elif kind == "jsonl":
            yield from _json_lines(path)
        else:
            yield from _table(path, "\t" if kind == "tsv" else ",")
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error.reason}); convert it") from None
    except csv.Error as error:
        raise DataError(f"{path}: is no table ({error})") from None


def folder_rows(folder: Path) -> Iterator[Written]:
    """Every recording in a folder and below, by name; `a.txt` beside `a.wav` is its text."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
            values: dict[str, Any] = {"audio": str(path.relative_to(folder))}
            beside = path.with_suffix(".txt")
            if beside.is_file():
                values["text"] = beside.read_text(encoding="utf-8").strip()
            yield Written(values["audio"], values)


def _table(path: Path, delimiter: str) -> Iterator[Written]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        for values in reader:
            place = f"line {reader.line_num}"
            if None in values:
                yield Written(place, {}, "has more cells than the header")
            elif any(value is None for value in values.values()):
                yield Written(place, {}, "has fewer cells than the header")
            else:
                yield Written(place, dict(values))


def _json_lines(path: Path) -> Iterator[Written]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                values = json.loads(line)
            except ValueError as error:
                yield Written(place, {}, f"is not JSON ({error})")
                continue
            if isinstance(values, dict):
                yield Written(place, values)
            else:
                yield Written(place, {}, "is no JSON object")


def _parquet(path: Path) -> Iterator[Written]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'tercet[data]'") from None
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        number = 0
        file = parquet.ParquetFile(path)
        if sound_column(file.schema_arrow, path) is not None:
            raise DataError(
                f"{path}: its recordings are inside it, without paths; tercet label writes them as files, "
                "with a manifest (source.jsonl)"
            )
        for batch in file.iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield Written(f"row {number}", values)
    except ArrowException as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged ({reason})") from None
