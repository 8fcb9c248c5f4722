"""Which column of a table holds recordings themselves: structs of `bytes` and `path`, or bytes."""

from pathlib import Path
from typing import Any

from tercet.dataset.manifest_rows import NAMES
from tercet.dataset.shard_files import arrow
from tercet.errors import DataError


def sound_column(schema: Any, path: Path) -> str | None:
    """The column of recordings; None where there is none.

    Raises:
        DataError: there are several, and none is called audio.
    """
    found = [field.name for field in schema if _is_sound(field)]
    if len(found) > 1 and "audio" not in found:
        raise DataError(f"{path}: has recordings in {', '.join(found)}; call one of them audio")
    return "audio" if "audio" in found else next(iter(found), None)


def is_binary(field: Any) -> bool:
    """Whether there are bytes in a column: recordings, pictures and the like, which no manifest can hold."""
    types = arrow(DataError, field.name).types
    if types.is_struct(field.type):
        return any(is_binary(part) for part in field.type)
    return bool(types.is_binary(field.type) or types.is_large_binary(field.type))


def _is_sound(field: Any) -> bool:
    types = arrow(DataError, field.name).types
    if types.is_struct(field.type):
        parts = {part.name: part for part in field.type}
        is_picture = "image" in field.name.lower() or "video" in field.name.lower()
        return "bytes" in parts and is_binary(parts["bytes"]) and not is_picture
    return NAMES.get(field.name) == "audio" and is_binary(field)
