"""Writing labels into shards (`shard_files`). The columns: `label_table`."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tercet.dataset.label_table import STEM, Label, label_schema, row_of
from tercet.dataset.shard_files import ShardFile, arrow, open_folder, write_fault
from tercet.errors import OptionError, OutputError

_ROWS_HELD = 256


class LabelWriter:
    """Adds labels to a folder of shards (`labels-00000.parquet` and so on).

    What is there is never written over: numbers go on, also beside another writer. A crash loses at most the
    shard under way; `label_table.finished` says which windows are safe. As a context manager it finishes at
    the end, after an error too: what was added is complete.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: Mapping[str, Any],
        *,
        rows_per_shard: int = 500,
        max_age_s: float = 300.0,
    ) -> None:
        """Open a folder, making it and those above it.

        Args:
            folder: Where the shards are, or shall be.
            settings: How the labels are made, as JSON has it; every shard says so.
            rows_per_shard: A shard is finished when it has so many rows.
            max_age_s: Or when it is so old, at the next label.

        Raises:
            OptionError: less than one row per shard.
            OutputError: the folder cannot be used; pyarrow is missing.
        """
        if rows_per_shard < 1:
            raise OptionError(f"rows_per_shard is {rows_per_shard}; give at least 1")
        self._folder = Path(folder)
        self._rows_per_shard = rows_per_shard
        self._max_age_s = max_age_s
        self._schema = label_schema(arrow(OutputError, str(folder)), settings)
        self._shard: ShardFile | None = None
        try:
            open_folder(self._folder, STEM)
        except OSError as error:
            raise write_fault(self._folder, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def add(self, labels: Sequence[Label]) -> None:
        """Add some, all into one shard.

        Raises:
            OutputError: the shard cannot be written; it is lost, those before it are not.
        """
        try:
            if self._shard is None:
                self._shard = ShardFile(self._folder, STEM, self._schema, rows_held=_ROWS_HELD)
            self._shard.add([row_of(each) for each in labels])
            is_old = time.monotonic() - self._shard.opened_at >= self._max_age_s
            if is_old or self._shard.n_rows >= self._rows_per_shard:
                self._publish()
        except OSError as error:
            self._give_up()
            raise write_fault(self._folder, error) from None

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._publish()
        except OSError as error:
            self._give_up()
            raise write_fault(self._folder, error) from None

    def _publish(self) -> None:
        if self._shard is not None:
            self._shard.publish()
            self._shard = None

    def _give_up(self) -> None:
        if self._shard is not None:
            self._shard.discard()
            self._shard = None
