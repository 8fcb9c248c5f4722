"""JSON files that others wrote: objects, or one line that names the file."""

import json
from pathlib import Path
from typing import Any

from tercet.errors import DataError


def read_object(path: Path) -> dict[str, Any]:
    """A file's object.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: {(error.strerror or str(error)).lower()}; check the path"
        ) from None
    except ValueError:
        raise DataError(f"{path}: is no JSON; write the report again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds no JSON object; give a report of Tercet's")
    return found


def number(value: object) -> float | None:
    """A finite number, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < float("inf") else None  # type: ignore[arg-type]
