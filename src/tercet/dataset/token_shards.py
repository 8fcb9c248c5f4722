"""Writing a corpus's speech tokens into shards (`shard_files`). The columns: `token_tables`."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tercet.dataset.shard_files import ShardFile, arrow, open_folder, write_fault
from tercet.dataset.token_tables import (
    CODEBOOK_COLUMNS,
    SCHEMA_KEY,
    SETTINGS_KEY,
    STEM,
    arrow_schema,
    codebook_of,
    row_of,
)
from tercet.errors import OptionError, OutputError, TokensError
from tercet.results import SCHEMA, SpeechTokens

_CODES_PER_GROUP = 1 << 20  # 4 MB of ids are held back before they are written


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
            before = open_folder(self._folder, STEM)
        except OSError as error:
            raise write_fault(self._folder, error) from None
        self._codebook = codebook_of(before[-1]) if before else None
        self._shard: ShardFile | None = None

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
                self._shard = self._begin()
            self._shard.add(rows, sum(len(row["ids"]) for row in rows))
            if (
                self._shard.n_rows >= self._rows_per_shard
                or time.monotonic() - self._shard.opened_at >= self._max_age_s
            ):
                self._finish()
        except OSError as error:
            self._give_up()
            raise write_fault(self._folder, error) from None

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._finish()
        except OSError as error:
            self._give_up()
            raise write_fault(self._folder, error) from None

    def _begin(self) -> ShardFile:
        told = {} if self._settings is None else {SETTINGS_KEY: json.dumps(self._settings).encode()}
        schema = arrow_schema(arrow(OutputError, str(self._folder)))
        schema = schema.with_metadata({SCHEMA_KEY: SCHEMA.encode(), **told})
        return ShardFile(self._folder, STEM, schema, rows_held=_CODES_PER_GROUP)

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


def _named(codebook: dict[str, Any]) -> str:
    levels = f", {codebook['depth']} levels" if codebook["depth"] != 1 else ""
    return (
        f"{codebook['codebook'] or 'an unknown codebook'} ({codebook['codebook_size']} codes{levels}, "
        f"{codebook['rate_hz']:g} Hz, mask {codebook['mask_code']})"
    )
