"""Writing a corpus's speech tokens into shards (`shard_files`). The columns: `token_tables`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tercet.dataset.shard_files import ShardWriter, arrow
from tercet.dataset.token_tables import (
    CODEBOOK_COLUMNS,
    SCHEMA_KEY,
    SETTINGS_KEY,
    STEM,
    arrow_schema,
    codebook_of,
    row_of,
)
from tercet.errors import OutputError, TokensError
from tercet.results import SCHEMA, SpeechTokens

_CODES_PER_GROUP = 1 << 20  # 4 MB of ids are held back before they are written


class TokenTableWriter:
    """Adds recordings to a folder of shards (`codes-00000.parquet` and so on).

    As a context manager it finishes the shard under way at the end (see `ShardWriter`); `finished_ids` says
    which recordings are safe. All channels of a recording are in one shard.
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
        told = {} if settings is None else {SETTINGS_KEY: json.dumps(settings).encode()}
        schema = arrow_schema(arrow(OutputError, str(folder)))
        self._folder = Path(folder)
        self._shards = ShardWriter(
            self._folder,
            STEM,
            schema.with_metadata({SCHEMA_KEY: SCHEMA.encode(), **told}),
            rows_held=_CODES_PER_GROUP,
            rows_per_shard=rows_per_shard,
            max_age_s=max_age_s,
        )
        before = self._shards.before
        self._codebook = codebook_of(before[-1]) if before else None

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
        self._shards.add(rows, sum(len(row["ids"]) for row in rows))

    def finish(self) -> None:
        """Finish the shard under way; more may be added afterwards.

        Raises:
            OutputError: it cannot be written.
        """
        self._shards.finish()

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
