"""Installed data packages: models that came through a package index.

They announce themselves as entry points of the group `tercet.models` (name = model name, value =
import package) and are located, never imported: a package of weights has no business running code.
"""

import importlib.machinery
import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from tercet.errors import ModelNotFoundError
from tercet.hub.layout import holds_model

GROUP = "tercet.models"


def installed_models() -> dict[str, list[EntryPoint]]:
    """What the installed data packages announce: model name -> entry points (two are a clash)."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def in_package(name: str) -> Path | None:
    """The folder of the installed model of that name; None where no package announces it.

    Raises:
        ModelNotFoundError: two packages announce it, or the package holds no complete model.
    """
    entries = installed_models().get(name, [])
    if not entries:
        return None
    if len(entries) > 1:
        owners = " and ".join(sorted(distribution_of(entry) for entry in entries))
        raise ModelNotFoundError(
            f"model {name!r} is in two installed packages, {owners}; uninstall one of them"
        )
    [entry] = entries
    folder = next((place for place in _locations(entry.value) if holds_model(place)), None)
    if folder is None:
        owner = distribution_of(entry)
        raise ModelNotFoundError(
            f"model {name!r}: the package {owner} is installed but {entry.value!r} holds no "
            f"complete model; reinstall it (pip install --force-reinstall {owner})"
        )
    return folder


def distribution_of(entry: EntryPoint) -> str:
    """What pip calls the package."""
    return entry.dist.name if entry.dist is not None else entry.value


def licence_of(entry: EntryPoint) -> str | None:
    """What the package says of itself."""
    if entry.dist is None:
        return None
    metadata = entry.dist.metadata
    return next(
        (metadata[key] for key in ("License-Expression", "License") if key in metadata), None
    )


def _locations(package: str) -> list[Path]:
    """The folders of an import package, found without importing it.

    `find_spec("a.b")` would import `a`, so only the top level is asked for, the rest appended.
    """
    top, *below = package.split(".")
    try:
        spec: importlib.machinery.ModuleSpec | None = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return []
    return [Path(place, *below) for place in spec.submodule_search_locations or ()]
