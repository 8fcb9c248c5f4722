"""Labels that a teacher gave to speech: their columns in Parquet, and how they are read.

One row is one window of at most 30 s: a stretch of a recording, or short recordings of one speaker end to
end. Writing is `label_writing`'s. pandas, pyarrow, polars and `datasets` read the shards as they are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tercet.dataset.shard_files import arrow, shard_paths
from tercet.errors import DataError
from tercet.results import SCHEMA

STEM = "labels"  # of the shards' names
SCHEMA_KEY = b"tercet_schema"  # in the file's own metadata
SETTINGS_KEY = b"tercet_settings"  # likewise: how the labels were made
_ROWS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a recording, and where it begins in the window."""

    path: str
    start_s: float  # in the recording
    duration_s: float
    at_s: float  # in the window


@dataclass(frozen=True, slots=True)
class TimedText:
    """A segment of the teacher's text; seconds from the window's start."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One window and what the teacher wrote down."""

    id: str
    recording: str  # the windows of one recording, or of one pack, share it
    is_last: bool  # of its recording
    spans: tuple[Span, ...]
    duration_s: float
    speech_s: float  # how much of it the voice detector takes for speech
    cut: str  # how it ends: "pause", "seam" (through speech), "end"
    speaker: str | None
    previous: str | None  # id of the window before it: same speaker, same or next recording
    language: str  # code
    language_probability: float | None  # None: it was given
    text: str  # "" where nobody speaks
    text_ids: tuple[
        int, ...
    ]  # with timestamps unless the settings say otherwise; no prompt, no end
    segments: tuple[TimedText, ...]
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    temperature: float
    is_cut_off: bool  # the text filled all the room there was; its end is missing
    fault: str | None  # why the first attempt was not good enough
    reference: str | None  # of this window, or, in a recording's last window, of all the recording
    reference_of: str | None  # "window", "recording"
    extra: Mapping[str, Any]  # further columns of the manifest; of a pack, its first row's
    teacher: str  # name
    encoder: str  # SHA-256 of the teacher's encoder
    settings: str  # hash of all that decides what a label is

    def __post_init__(self) -> None:
        if self.reference_of not in (None, "window", "recording"):
            raise DataError(f"{self.id}: reference_of is {self.reference_of!r}")


_LISTED = {"spans": Span, "segments": TimedText}
_KINDS = {
    "is_last": "bool",
    "duration_s": "double",
    "speech_s": "double",
    "language_probability": "float",
    "avg_logprob": "float",
    "compression_ratio": "float",
    "no_speech_prob": "float",
    "temperature": "float",
    "is_cut_off": "bool",
}
_NULLABLE = frozenset(
    {"speaker", "previous", "language_probability", "fault", "reference", "reference_of"}
)


def label_schema(pa: Any, settings: Mapping[str, Any]) -> Any:
    """The columns, for pyarrow; `settings` go to the file's metadata."""
    structs = {
        "spans": [
            ("path", "string"),
            *((name, "double") for name in ("start_s", "duration_s", "at_s")),
        ],
        "segments": [("start_s", "double"), ("end_s", "double"), ("text", "string")],
    }

    def kind_of(name: str) -> Any:
        if name == "text_ids":
            return pa.list_(pa.int32())
        if name in structs:
            parts = [pa.field(part, pa.type_for_alias(kind), False) for part, kind in structs[name]]
            return pa.list_(pa.struct(parts))
        return pa.type_for_alias(_KINDS.get(name, "string"))

    columns = [
        pa.field(each.name, kind_of(each.name), each.name in _NULLABLE) for each in fields(Label)
    ]
    told = {SCHEMA_KEY: SCHEMA.encode(), SETTINGS_KEY: json.dumps(dict(settings)).encode()}
    return pa.schema(columns, metadata=told)


def row_of(label: Label) -> dict[str, Any]:
    """A label's values by column."""
    return {**asdict(label), "extra": json.dumps(dict(label.extra), default=str)}


def read_labels(folder: str | Path) -> Iterator[Label]:
    """All labels of a folder's shards, in the order in which they were written.

    Raises:
        DataError: no folder of labels, or a shard is damaged; pyarrow is missing.
    """
    for path in _shards(Path(folder)):
        for row in _rows(path, [each.name for each in fields(Label)]):
            yield _label_of(row)


@dataclass(slots=True)
class Finished:
    """What is labelled of one recording."""

    ids: set[str] = field(default_factory=set)  # of its windows
    is_whole: bool = False
    language: str | None = None  # as it was heard


def finished(folder: str | Path) -> dict[str, Finished]:
    """What is labelled already, by recording. A folder that is not there holds nothing.

    Raises:
        DataError: a shard is damaged.
    """
    folder = Path(folder)
    found: dict[str, Finished] = {}
    for path in shard_paths(folder, STEM) if folder.is_dir() else ():
        for row in _rows(path, ["id", "recording", "is_last", "language", "text"]):
            of = found.setdefault(str(row["recording"]), Finished())
            of.ids.add(str(row["id"]))
            of.is_whole |= bool(row["is_last"])
            if row["text"]:
                of.language = str(row["language"])
    return found


def settings_in(folder: str | Path) -> dict[str, Any] | None:
    """How the labels of a folder were made, as its first shard says; None where there is none.

    Raises:
        DataError: the shard is damaged.
    """
    folder = Path(folder)
    paths = shard_paths(folder, STEM) if folder.is_dir() else []
    if not paths:
        return None
    pa = arrow(DataError, str(paths[0]))
    try:
        metadata = pa.parquet.read_schema(paths[0]).metadata or {}
        told = json.loads(metadata.get(SETTINGS_KEY, b"null"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(paths[0], error) from None
    return told if isinstance(told, dict) else {}


def _shards(folder: Path) -> Sequence[Path]:
    try:
        found = shard_paths(folder, STEM)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(
            f"{folder}: no folder of labels ({reason}); make one: tercet label"
        ) from None
    if not found:
        raise DataError(f"{folder}: holds no {STEM}-00000.parquet; make it: tercet label")
    return found


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    pa = arrow(DataError, str(path))
    try:
        with path.open("rb") as content:
            file = pa.parquet.ParquetFile(content, page_checksum_verification=True)
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path}: has no column {missing[0]!r}; is it another table?")
            for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=list(columns)):
                yield from batch.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(path, error) from None


def _label_of(row: dict[str, Any]) -> Label:
    listed = {name: tuple(kind(**each) for each in row[name]) for name, kind in _LISTED.items()}
    return Label(
        **{**row, **listed, "text_ids": tuple(row["text_ids"]), "extra": json.loads(row["extra"])}
    )


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:120]
    return DataError(
        f"{path}: not readable as a table of labels ({reason}); it is damaged or another file"
    )
