"""Parquet shards that appear when they are complete: one file under way, its name, what a crash left.

A shard under way is a hidden file, locked while its writer lives; one that nobody locks was left by a crash
and is removed by the next writer. What the rows mean is the caller's business.
"""

import errno
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tercet.dataset.undisturbed import undisturbed
from tercet.errors import OptionError, OutputError, TercetError

if sys.platform != "win32":
    import fcntl

INSTALL = 'pip install "tercet[data]"'
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def arrow(error: type[TercetError], name: str) -> Any:
    """The module pyarrow, with pyarrow.parquet; where it is missing, an `error` about `name`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise error(f"{name}: Parquet needs pyarrow, which is not installed: {INSTALL}") from None
    return pyarrow


def shard_paths(folder: Path, stem: str) -> list[Path]:
    """The finished shards `STEM-00000.parquet` and so on, in the order in which they were written.

    Raises:
        OSError: the folder cannot be listed.
    """
    name = re.compile(re.escape(stem) + r"-([0-9]{5,})\.parquet")
    found = [(name.fullmatch(path.name), path) for path in folder.iterdir()]
    return [path for _, path in sorted((int(hit[1]), path) for hit, path in found if hit)]


class ShardFile:
    """One file under way."""

    def __init__(self, folder: Path, stem: str, schema: Any, *, rows_held: int) -> None:
        """Begin it.

        Args:
            folder: Of the shards.
            stem: Of their names.
            schema: pyarrow's, with the metadata that the file shall have.
            rows_held: How many units of `add` wait before they are written as a group.

        Raises:
            OSError: the file cannot be made.
        """
        self.opened_at = time.monotonic()
        self.n_rows = 0
        self._folder = folder
        self._stem = stem
        self._rows_held = rows_held
        self._waiting: list[Mapping[str, Any]] = []
        self._waiting_size = 0
        self._path = folder / f".{stem}-{os.getpid()}-{secrets.token_hex(4)}.part"
        self._file: IO[bytes] = self._path.open("xb")
        _lock(self._file)
        self._schema = schema
        self._pa = arrow(OutputError, str(folder))
        self._writer = self._pa.parquet.ParquetWriter(
            self._file, schema, compression="zstd", write_page_checksum=True
        )

    def add(self, rows: Sequence[Mapping[str, Any]], size: int | None = None) -> None:
        """Add rows; they are written when there are enough of them (or of what `size` counts)."""
        self._waiting.extend(rows)
        self._waiting_size += len(rows) if size is None else size
        self.n_rows += len(rows)
        if self._waiting_size >= self._rows_held:
            self._flush()

    def publish(self) -> None:
        """Complete the file and give it its name."""
        self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())  # on the disk before its name says that it is complete
        before = shard_paths(self._folder, self._stem)
        number = 1 + (int(before[-1].stem.rpartition("-")[2]) if before else -1)
        while not _take_name(self._path, self._folder / f"{self._stem}-{number:05d}.parquet"):
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
        self._waiting_size = 0


class ShardWriter:
    """Adds rows to a folder's shards, one after the other.

    What is there is never written over: numbers go on, also beside another writer. A crash loses at most the
    shard under way; an error does not, where `finish` is called after it: what was added is complete. Nor do
    Ctrl-C and SIGTERM, which wait for the end of an `add`.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        schema: Any,
        *,
        rows_held: int,
        rows_per_shard: int,
        max_age_s: float,
    ) -> None:
        """Open a folder, making it and those above it.

        Args:
            folder: Of the shards.
            stem: Of their names.
            schema: pyarrow's, with the metadata that each shall have.
            rows_held: As for `ShardFile`.
            rows_per_shard: A shard is finished when it has so many.
            max_age_s: Or when it is so old, at the next `add`.

        Raises:
            OptionError: less than one row per shard.
            OutputError: the folder cannot be used.
        """
        if rows_per_shard < 1:
            raise OptionError(f"rows_per_shard is {rows_per_shard}; give at least 1")
        self._folder, self._stem, self._schema = folder, stem, schema
        self._rows_held, self._rows_per_shard = rows_held, rows_per_shard
        self._max_age_s = max_age_s
        self._shard: ShardFile | None = None
        try:
            self.before = _open_folder(folder, stem)  # finished shards that were there
        except OSError as error:
            raise write_fault(folder, error) from None

    def add(self, rows: Sequence[Mapping[str, Any]], size: int | None = None) -> None:
        """Add some, all into one shard; `size` as for `ShardFile.add`.

        Raises:
            OutputError: the shard cannot be written; it is lost, those before it are not.
        """
        with undisturbed(), self._failing():
            if self._shard is None:
                self._shard = ShardFile(
                    self._folder, self._stem, self._schema, rows_held=self._rows_held
                )
            self._shard.add(rows, size)
            is_old = time.monotonic() - self._shard.opened_at >= self._max_age_s
            if is_old or self._shard.n_rows >= self._rows_per_shard:
                self._publish()

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        with undisturbed(), self._failing():
            self._publish()

    def _publish(self) -> None:
        if self._shard is not None:
            self._shard.publish()
            self._shard = None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """A fault of the disk gives the shard under way up, in one line."""
        try:
            yield
        except OSError as error:
            if self._shard is not None:
                self._shard.discard()
                self._shard = None
            raise write_fault(self._folder, error) from None


def _open_folder(folder: Path, stem: str) -> list[Path]:
    """Make a folder where it is missing, clear away what crashes left, and give its finished shards.

    Raises:
        OSError: it cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f".{stem}-*.part"):
        with suppress(OSError), path.open("rb") as file:
            if _lock(file):
                path.unlink()
    return shard_paths(folder, stem)


def write_fault(folder: Path, error: OSError) -> TercetError:
    """The one line for a folder that cannot be written."""
    if isinstance(error, TercetError):
        return error
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"{folder}: cannot be written ({reason}); free space, or choose another")


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


def _lock(file: IO[bytes]) -> bool:
    """Hold the file until it is closed; False where another does, or nobody can know."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
