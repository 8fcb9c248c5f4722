"""Speech tokens of a corpus as Parquet: a folder of shards, one row per recording, or per channel of it.

pandas, pyarrow, polars and `datasets` read the shards as they are. Writing them is `TokenTableWriter`'s, in
`token_shards`; this file knows the columns and reads. pyarrow is imported when it is needed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tercet.dataset.shard_files import arrow, shard_paths
from tercet.dataset.token_windows import check_schema, checked_tokens
from tercet.errors import TercetError, TokensError
from tercet.results import SpeechTokens

SCHEMA_KEY = b"tercet_schema"  # in the file's own metadata
SETTINGS_KEY = b"tercet_settings"  # likewise: how the codes were made
STEM = "codes"  # of the shards' names
_COLUMNS = (
    ("audio_id", "string", False),
    ("channel", "int32", True),
    ("start_s", "float64", False),
    ("duration_s", "float64", False),
    ("rate_hz", "float64", False),
    ("depth", "int32", False),
    ("n_codes", "int64", False),  # lengths without reading ids, and a check of them
    ("ids", "list<int32>", False),  # time by time, level after level
    ("window_starts", "list<int64>", False),  # places among the codes
    ("codebook", "string", False),
    ("codebook_size", "int32", False),
    ("mask_code", "int32", True),
)
# What all rows of a folder share.
CODEBOOK_COLUMNS = ("codebook", "codebook_size", "depth", "rate_hz", "mask_code")
_ROWS_AT_A_TIME = 64


def arrow_schema(pa: Any) -> Any:
    """The columns, for pyarrow."""
    types = {"list<int32>": pa.list_(pa.int32()), "list<int64>": pa.list_(pa.int64())}
    return pa.schema(
        [
            pa.field(name, types.get(kind) or pa.type_for_alias(kind), nullable=nullable)
            for name, kind, nullable in _COLUMNS
        ]
    )


def row_of(audio_id: str, tokens: SpeechTokens) -> dict[str, Any]:
    """One row, by column."""
    return {
        "audio_id": audio_id,
        "channel": tokens.channel,
        "start_s": tokens.start_s,
        "duration_s": tokens.duration_s,
        "rate_hz": tokens.rate_hz,
        "depth": tokens.depth,
        "n_codes": len(tokens),
        "ids": np.ascontiguousarray(tokens.ids, np.int32).ravel(),
        "window_starts": np.array(tokens.window_starts, np.int64),
        "codebook": tokens.codebook,
        "codebook_size": tokens.codebook_size,
        "mask_code": tokens.mask_code,
    }


def shards(folder: Path) -> list[Path]:
    """The finished shards of a folder, in the order in which they were written."""
    return shard_paths(folder, STEM)


def finished_ids(folder: str | Path) -> set[str]:
    """The `audio_id` of every recording that a folder's shards hold, for going on where a run ended.

    Only that column is read. A folder that is not there holds none.

    Raises:
        TokensError: a shard is damaged or something else; pyarrow is missing.
    """
    folder = Path(folder)
    if not folder.exists():
        return set()
    try:
        found = shards(folder)
    except OSError as error:
        raise _unreadable(folder, error) from None
    return {
        str(audio_id)
        for path in found
        for batch in _batches(path, ("audio_id",), rows=65536)
        for audio_id in batch.column("audio_id").to_pylist()
    }


def settings_in(folder: str | Path) -> list[dict[str, Any]]:
    """How the codes of a folder's shards were made: each way once; shards that do not say have none.

    Raises:
        TokensError: a shard is damaged or something else; pyarrow is missing.
    """
    folder = Path(folder)
    try:
        found = shards(folder)
    except OSError as error:
        raise _unreadable(folder, error) from None
    ways: list[dict[str, Any]] = []
    for path in found:
        with _opened(path) as file:
            told = (file.schema_arrow.metadata or {}).get(SETTINGS_KEY)
            way = None if told is None else json.loads(told)
        if isinstance(way, dict) and way not in ways:
            ways.append(way)
    return ways


def read_table(path: str | Path) -> Iterator[tuple[str, SpeechTokens]]:
    """Every row of a Parquet file, or of a folder's shards: (audio_id, tokens).

    Raises:
        TokensError: damaged, without the columns, or holding what is no speech token; pyarrow is missing.
    """
    path = Path(path)
    try:
        files = shards(path) if path.is_dir() else [path]
    except OSError as error:
        raise _unreadable(path, error) from None
    if not files:
        raise TokensError(f"{path}: holds no codes-00000.parquet; is it another folder?")
    for file in files:
        n_rows = 0
        columns = tuple(name for name, _, _ in _COLUMNS)
        for batch in _batches(file, columns, rows=_ROWS_AT_A_TIME):
            for row in range(batch.num_rows):
                n_rows += 1
                yield _tokens_of(batch, row, f"{file}: row {n_rows}")


def codebook_of(path: Path) -> dict[str, Any] | None:
    """What a shard's first row says of its codebook (`CODEBOOK_COLUMNS`); None where it has no rows.

    Raises:
        TokensError: damaged, or something else.
    """
    for batch in _batches(path, CODEBOOK_COLUMNS, rows=1):
        if batch.num_rows:
            return dict(batch.slice(0, 1).to_pylist()[0])
    return None


def _batches(path: Path, columns: tuple[str, ...], *, rows: int) -> Iterator[Any]:
    """Record batches of these columns, in the types that they are written with, checked for gaps."""
    pa = arrow(TokensError, str(path))
    with _opened(path) as file:
        names = file.schema_arrow.names
        for column in columns:
            if column not in names:
                raise TokensError(f"{path}: has no column {column!r}; is it another table?")
        metadata = file.schema_arrow.metadata or {}
        if SCHEMA_KEY in metadata:
            check_schema(metadata[SCHEMA_KEY].decode("utf-8", "replace"), str(path))
        wanted = arrow_schema(pa)
        target = pa.schema([wanted.field(column) for column in columns])
        missing = file.metadata.num_rows
        for found in file.iter_batches(batch_size=rows, columns=list(columns)):
            table = pa.Table.from_batches([found]).select(list(columns)).cast(target)
            table.validate(full=True)
            missing -= table.num_rows
            yield from table.combine_chunks().to_batches()
        if missing:  # a page's header has no checksum: damaged, it can say that there is nothing
            raise TokensError(f"{path}: {missing} rows are not there; it is damaged")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file, open; whatever is wrong with it within the block is one line.

    Raises:
        TokensError: it is damaged or something else; pyarrow is missing.
    """
    pa = arrow(TokensError, str(path))
    try:
        with (
            path.open("rb") as content,
            pa.parquet.ParquetFile(content, page_checksum_verification=True) as file,
        ):
            yield file
    except TercetError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from None
    except (
        pa.ArrowException,
        ValueError,
        KeyError,
        TypeError,
        MemoryError,
        OverflowError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise TokensError(
            f"{path}: not readable as a table of speech tokens ({reason}); it is damaged or another file"
        ) from None


def _tokens_of(batch: Any, row: int, name: str) -> tuple[str, SpeechTokens]:
    values: dict[str, Any] = {}
    for column, kind, nullable in _COLUMNS:
        value = batch.column(column)[row]
        if not value.is_valid:
            if not nullable:
                raise TokensError(f"{name}: {column!r} is missing")
            values[column] = None
        elif kind.startswith("list"):
            if value.values.null_count:
                raise TokensError(f"{name}: {column!r} has gaps")
            values[column] = value.values.to_numpy(zero_copy_only=False)
        else:
            values[column] = value.as_py()
    fields: Mapping[str, object] = values
    # A page's header has no checksum: damaged, it can cut a list short.
    if len(values["ids"]) != values["n_codes"] * values["depth"]:
        raise TokensError(
            f"{name}: has {len(values['ids'])} ids, but 'n_codes' is {values['n_codes']}; it is damaged"
        )
    tokens = checked_tokens(fields, values["ids"], values["window_starts"].tolist(), name)
    return values["audio_id"], tokens


def _unreadable(path: Path, error: OSError) -> TokensError:
    reason = " ".join((error.strerror or str(error)).split())[:120].lower()
    return TokensError(f"{path}: cannot be read ({reason})")
