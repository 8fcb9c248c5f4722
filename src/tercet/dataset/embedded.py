"""Data sets whose recordings are inside their tables: Parquet files, and folders that `datasets` saved.

Read by pyarrow alone. A column holds structs of `bytes` and `path`, as `datasets` writes them, or bytes. What
is inside a table has no path; `unpacking` gives it one.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tercet.dataset.manifest_files import AUDIO_SUFFIXES, IN_FOLDER
from tercet.dataset.shard_files import arrow
from tercet.dataset.sound_columns import is_binary, sound_column
from tercet.errors import DataError

_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}.*")
_ROWS_AT_A_TIME = 16  # recordings may be large
_SAVED = ("state.json", "dataset_info.json")  # `Dataset.save_to_disk`
_SAVED_SPLITS = "dataset_dict.json"  # `DatasetDict.save_to_disk`


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording in a row: its bytes, or only the path of a file."""

    content: bytes | None
    path: str | None


Rows = Iterator[tuple[Sound, Mapping[str, Any]]]  # each recording, and the row's other columns


@dataclass(frozen=True, slots=True)
class Embedded:
    """A data set with recordings inside."""

    name: str  # for people, and to know it again
    split: str | None
    state: str  # another one where the data set has changed
    total: int | None  # rows; None: not known
    rows_from: Callable[[int], Rows]  # all rows behind so many
    base: Path | None = None  # paths in it start here


def embedded_in(path: Path, split: str | None = None) -> Embedded | None:
    """What is inside a Parquet file, a folder of them or a saved data set; None where no recordings are.

    Args:
        path: Of the file or folder.
        split: Which; None: the only one.

    Raises:
        DataError: there are several splits, or not this one; a file is damaged; pyarrow is missing.
    """
    splits = _splits_of(path)
    if not splits:
        return None
    first = next(iter(splits.values()))[0]
    if sound_column(_schema(first), path) is None:
        return None
    name = chosen_split(str(path), list(splits), split)
    files = splits[name]
    stamps = [(str(file.name), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return Embedded(
        name=str(path.absolute()),
        split=name or None,
        state=json.dumps(stamps),
        total=sum(map(_n_rows, files)),
        rows_from=lambda first: _rows(files, first),
        base=path if path.is_dir() else path.parent,
    )


def chosen_split(name: str, splits: Sequence[str], wanted: str | None) -> str:
    """The split that is meant.

    Raises:
        DataError: there are several and none is named, or there is none of that name.
    """
    if wanted is None and len(splits) == 1:
        return splits[0]
    there = ", ".join(filter(None, splits)) or "not divided"
    if wanted is None:
        raise DataError(f"{name}: has several splits ({there}); choose one: --split {splits[0]}")
    if wanted not in splits:
        raise DataError(f"{name}: has no split {wanted!r} ({there})")
    return wanted


def _splits_of(path: Path) -> dict[str, list[Path]]:
    """Split -> its files in order; empty where there are none. A single file's split may be ''."""
    if path.suffix.lower() == ".parquet" and path.is_file():
        shard = _SHARD.fullmatch(path.stem)
        return {shard["split"] if shard else "": [path]}
    if not path.is_dir() or _has_rows_of_its_own(path):
        return {}
    if (path / _SAVED_SPLITS).is_file():
        names = _json(path / _SAVED_SPLITS).get("splits", [])
        return {str(name): _saved_files(path / str(name)) for name in names}
    if all((path / name).is_file() for name in _SAVED):
        return {"": _saved_files(path)}
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*.parquet")):
        shard = _SHARD.fullmatch(file.stem)
        name = shard["split"] if shard else file.parent.name if file.stem.isdigit() else file.stem
        found.setdefault(name, []).append(file)
    return found


def _has_rows_of_its_own(folder: Path) -> bool:
    """Whether a folder is a manifest by itself, whatever tables lie in it."""
    if any((folder / name).is_file() for name in IN_FOLDER):
        return True
    return any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.rglob("*"))


def _saved_files(folder: Path) -> list[Path]:
    files = [each["filename"] for each in _json(folder / "state.json").get("_data_files", [])]
    if not files:
        raise DataError(f"{folder}: holds no rows")
    return [folder / Path(name).name for name in files]


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); is the data set whole?") from None
    return told if isinstance(told, dict) else {}


def _schema(path: Path) -> Any:
    with _opened(path) as file:
        return file.schema_arrow if path.suffix.lower() == ".parquet" else file.schema


def _n_rows(path: Path) -> int:
    with _opened(path) as file:
        if path.suffix.lower() == ".parquet":
            return int(file.metadata.num_rows)
        return sum(batch.num_rows for batch in file)


def _rows(files: Sequence[Path], first: int) -> Rows:
    """Rows of all files behind the first so many."""
    for path in files:
        count = _n_rows(path)
        if first >= count:
            first -= count
            continue
        yield from _rows_of(path, first)
        first = 0


def _rows_of(path: Path, first: int) -> Rows:
    pa = arrow(DataError, str(path))
    with _opened(path) as file:
        is_parquet = path.suffix.lower() == ".parquet"
        schema = file.schema_arrow if is_parquet else file.schema
        audio = sound_column(schema, path)
        if audio is None:
            raise DataError(f"{path}: has no column of recordings, unlike the files beside it")
        facts = [each.name for each in schema if each.name != audio and not is_binary(each)]
        try:
            if is_parquet:
                batches = file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=[audio, *facts])
            else:
                batches = _slices(file)
            for batch in batches:
                if first >= batch.num_rows:
                    first -= batch.num_rows
                    continue
                for row in batch.slice(first).select([audio, *facts]).to_pylist():
                    yield sound_of(row.pop(audio)), row
                first = 0
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from None


def sound_of(value: Any) -> Sound:
    """A cell's recording: a struct of bytes and path, or bytes; nothing where it is empty."""
    if isinstance(value, Mapping):
        return Sound(value.get("bytes") or None, value.get("path") or None)
    return Sound(value or None, None)


def _slices(batches: Any) -> Iterator[Any]:
    for batch in batches:
        for at in range(0, batch.num_rows, _ROWS_AT_A_TIME):
            yield batch.slice(at, _ROWS_AT_A_TIME)


def _opened(path: Path) -> Any:
    pa = arrow(DataError, str(path))
    try:
        if path.suffix.lower() == ".parquet":
            return pa.parquet.ParquetFile(path)
        return pa.ipc.open_stream(pa.memory_map(str(path)))
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:120]
    return DataError(f"{path}: cannot be read ({reason}); it is damaged, or not whole")
