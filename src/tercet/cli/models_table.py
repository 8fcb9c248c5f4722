"""What `tercet models list` shows: lines for people, an object for machines."""

from collections.abc import Sequence
from typing import Any

from tercet.hub.inventory import FASTER_WHISPER, HUB, OPENAI, PACKAGE, UNFINISHED, Copy, Listed

_HEAD = ("name", "size", "licence", "languages", "where")


def as_table(models: Sequence[Listed]) -> str:
    """One line per copy, or one that says what a download would be; columns under their names."""
    rows = [_HEAD, *(row for model in models for row in _rows(model))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def as_json(model: Listed) -> dict[str, Any]:
    """A model with all its copies; `path` is what its name opens, or null."""
    opened = next((copy for copy in model.copies if copy.is_whole), None)
    return {
        "name": model.name,
        "repository": model.repository,
        "languages": model.languages,
        "licence": model.licence,
        "download_mb": model.download_mb,
        "path": None if opened is None else str(opened.path),
        "copies": [
            {
                "place": copy.place,
                "source": copy.source,
                "path": str(copy.path),
                "size_bytes": copy.size_bytes,
                "missing": list(copy.missing),
                "whole": copy.is_whole,
            }
            for copy in model.copies
        ],
    }


def _rows(model: Listed) -> list[tuple[str, ...]]:
    languages = "?" if model.languages is None else str(model.languages)
    about = (model.licence or "?", "English" if languages == "1" else languages)
    if not model.copies:
        size = "?" if model.download_mb is None else f"({model.download_mb} MB)"
        return [(model.name, size, *about, "not here")]
    return [
        (model.name, f"{copy.size_bytes / 1e6:.0f} MB", *about, _where(copy))
        for copy in model.copies
    ]


def _where(copy: Copy) -> str:
    if copy.missing:
        return f"{copy.place}, without {', '.join(copy.missing)}"
    return {
        PACKAGE: f"package {copy.source}",
        HUB: "hub cache",
        FASTER_WHISPER: f"faster-whisper's copy ({copy.source})",
        OPENAI: f"openai-whisper's cache ({copy.source})",
        UNFINISHED: f"unfinished download ({copy.source})",
    }[copy.place]
