"""The sets of a recipe: where their manifests are, and which of a set's rows are held out."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tercet.dataset.manifests import Row, read_manifest

DATA_VARIABLE = "TERCET_DATA"
Tell = Callable[[str], object]


def untold(_: str) -> None:
    """For callers who need not know which rows were left out."""


def rows_of(
    path: Path, *, skip_broken: bool, tell: Tell, class_list: Path | None = None
) -> Sequence[Row]:
    """The rows of a manifest; broken ones are told, and left out where that is asked for.

    Raises:
        DataError: rows have faults, and were not to be left out; or there are none.
    """
    manifest = read_manifest(path, class_list=class_list, skip_broken=skip_broken)
    for fault in manifest.faults:
        tell(f"left out: {fault}")
    return manifest.rows


def root_of(root: str, recipe_path: Path) -> Path:
    """The folder of relative manifests: the recipe's `root`, else TERCET_DATA, else the recipe's own."""
    if root:
        return (recipe_path.parent / root).resolve()
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else recipe_path.parent


def is_held_out(row: Row, field: str, endings: Iterable[str]) -> bool:
    """Whether the value of a row's field ends so."""
    value = str(value_of(row, field)) if field else ""
    return any(value.endswith(ending) for ending in endings) if value else False


def value_of(row: Row, field: str) -> object:
    """A field of a row, its own or one of its further ones; "" where there is none.

    "name" is the recording's, without folder and ending.
    """
    if field == "name":
        return row.audio.stem
    own = getattr(row, field, None) if field in ("speaker", "language", "split") else None
    value = own if own is not None else row.extra.get(field)
    return "" if value is None else value
