"""Writing labels into shards (`shard_files`). The columns: `label_table`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tercet.dataset.label_table import STEM, Label, label_schema, row_of
from tercet.dataset.shard_files import ShardWriter, arrow
from tercet.errors import OutputError

_ROWS_HELD = 256


class LabelWriter:
    """Adds labels to a folder of shards (`labels-00000.parquet` and so on).

    As a context manager it finishes the shard under way at the end (see `ShardWriter`);
    `label_table.finished` says which windows are safe.
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
        schema = label_schema(arrow(OutputError, str(folder)), settings)
        self._shards = ShardWriter(
            Path(folder),
            STEM,
            schema,
            rows_held=_ROWS_HELD,
            rows_per_shard=rows_per_shard,
            max_age_s=max_age_s,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def add(self, labels: Sequence[Label]) -> None:
        """Add some, all into one shard.

        Raises:
            OutputError: the shard cannot be written; it is lost, those before it are not.
        """
        self._shards.add([row_of(each) for each in labels])

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        self._shards.finish()
