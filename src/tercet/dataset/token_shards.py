"""Writing a corpus's speech tokens: shards that appear when they are complete. The columns: `token_tables`.

A shard under way is a hidden file, locked while its writer lives; one that nobody locks was left by a crash
and is removed by the next writer.
"""

import errno
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from tercet.dataset.token_tables import (
    CODEBOOK_COLUMNS,
    SCHEMA_KEY,
    SETTINGS_KEY,
    SHARD_NAME,
    arrow,
    arrow_schema,
    codebook_of,
    row_of,
    shards,
)
from tercet.errors import OptionError, OutputError, TercetError, TokensError
from tercet.results import SCHEMA, SpeechTokens

if sys.platform != "win32":
    import fcntl

_CODES_PER_GROUP = 1 << 20  # 4 MB of ids are held back before they are written
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class TokenTableWriter:
    """Adds recordings to a folder of shards (`codes-00000.parquet` and so on).

    What is there is never written over: numbers go on, also beside another writer. A crash loses at most the
    shard under way; `finished_ids` says which recordings are safe. All channels of a recording are in one
    shard. As a context manager it finishes at the end, after an error too: what was added is complete.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rows_per_shard: int = 1000,
        max_age_s: float = 600.0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Open a folder, making it and those above it.

        Args:
            folder: Where the shards are, or shall be.
            rows_per_shard: A shard is finished when it has so many rows.
            max_age_s: Or when it is so old, at the next recording.
            settings: How the codes are made, as JSON has it; every shard says so (`settings_in`).

        Raises:
            OptionError: less than one row per shard.
            OutputError: the folder cannot be used; pyarrow is missing.
        """
        if rows_per_shard < 1:
            raise OptionError(f"rows_per_shard is {rows_per_shard}; give at least 1")
        self._folder = Path(folder)
        self._rows_per_shard = rows_per_shard
        self._max_age_s = max_age_s
        self._settings = settings
        arrow(OutputError, str(folder))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self._folder)
            before = shards(self._folder)
        except OSError as error:
            raise _fault(self._folder, error) from None
        self._codebook = codebook_of(before[-1]) if before else None
        self._shard: _Shard | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def add(self, audio_id: str, tokens: SpeechTokens, *channels: SpeechTokens) -> None:
        """Add one recording: its tokens, or those of each channel.

        Raises:
            TokensError: they are of another codebook than the folder's; nothing was added.
            OutputError: the shard cannot be written; it is lost, those before it are not.
        """
        rows = [row_of(audio_id, one) for one in (tokens, *channels)]
        self._check(audio_id, rows)
        try:
            if self._shard is None:
                self._shard = _Shard(self._folder, self._settings)
            self._shard.add(rows)
            if (
                self._shard.n_rows >= self._rows_per_shard
                or time.monotonic() - self._shard.opened_at >= self._max_age_s
            ):
                self._finish()
        except OSError as error:
            self._give_up()
            raise _fault(self._folder, error) from None

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._finish()
        except OSError as error:
            self._give_up()
            raise _fault(self._folder, error) from None

    def _finish(self) -> None:
        if self._shard is not None:
            self._shard.publish()
            self._shard = None

    def _give_up(self) -> None:
        if self._shard is not None:
            self._shard.discard()
            self._shard = None

    def _check(self, audio_id: str, rows: Sequence[dict[str, Any]]) -> None:
        if not audio_id.isascii():
            try:
                audio_id.encode()
            except UnicodeEncodeError:
                raise TokensError(
                    f"{audio_id!a}: is no name in UTF-8, as a table needs; rename it"
                ) from None
        books = [{column: row[column] for column in CODEBOOK_COLUMNS} for row in rows]
        expected = self._codebook or books[0]
        for book in books:
            if book != expected:
                raise TokensError(
                    f"{audio_id}: has codes of {_named(book)}, but {self._folder} holds codes of "
                    f"{_named(expected)}; choose another folder"
                )
        self._codebook = expected


class _Shard:
    """One file under way."""

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None) -> None:
        self.opened_at = time.monotonic()
        self.n_rows = 0
        self._folder = folder
        self._waiting: list[dict[str, Any]] = []
        self._waiting_codes = 0
        self._path = folder / f".codes-{os.getpid()}-{secrets.token_hex(4)}.part"
        self._file: IO[bytes] = self._path.open("xb")
        _lock(self._file)
        pa = arrow(OutputError, str(folder))
        told = {} if settings is None else {SETTINGS_KEY: json.dumps(settings).encode()}
        self._schema = arrow_schema(pa).with_metadata({SCHEMA_KEY: SCHEMA.encode(), **told})
        self._pa = pa
        self._writer = pa.parquet.ParquetWriter(
            self._file, self._schema, compression="zstd", write_page_checksum=True
        )

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows; they are written when there are enough of them."""
        self._waiting.extend(rows)
        self._waiting_codes += sum(len(row["ids"]) for row in rows)
        self.n_rows += len(rows)
        if self._waiting_codes >= _CODES_PER_GROUP:
            self._flush()

    def publish(self) -> None:
        """Complete the file and give it its name."""
        self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())  # on the disk before its name says that it is complete
        number = 1 + max((int(_number(path)) for path in shards(self._folder)), default=-1)
        while not _take_name(self._path, self._folder / f"codes-{number:05d}.parquet"):
            number += 1
        self._file.close()

    def discard(self) -> None:
        """Remove what there is."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        with suppress(OSError, self._pa.ArrowException):
            self._writer.close()
        with suppress(OSError):
            self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            table = self._pa.Table.from_pylist(self._waiting, schema=self._schema)
            self._writer.write_table(table)
        self._waiting = []
        self._waiting_codes = 0


def _number(path: Path) -> str:
    found = SHARD_NAME.fullmatch(path.name)
    return found[1] if found else "-1"


def _take_name(part: Path, final: Path) -> bool:
    """Give the finished file its name; False where the name is taken."""
    try:
        final.hardlink_to(part)  # never replaces anything, unlike a renaming
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if final.exists():
            return False
        part.rename(final)
        return True
    part.unlink()
    return True


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".codes-*.part"):
        with suppress(OSError), path.open("rb") as file:
            if _lock(file):
                path.unlink()


def _lock(file: IO[bytes]) -> bool:
    """Hold the file until it is closed; False where another does, or nobody can know."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _named(codebook: dict[str, Any]) -> str:
    levels = f", {codebook['depth']} levels" if codebook["depth"] != 1 else ""
    return (
        f"{codebook['codebook'] or 'an unknown codebook'} ({codebook['codebook_size']} codes{levels}, "
        f"{codebook['rate_hz']:g} Hz, mask {codebook['mask_code']})"
    )


def _fault(folder: Path, error: OSError) -> TercetError:
    if isinstance(error, TercetError):
        return error
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"{folder}: cannot be written ({reason}); free space, or choose another")
