"""Which models are known and which are on this machine: where each lies and what it takes.

Reads the disk alone; the hub is never asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tercet.catalog import CATALOG, KnownModel, known_model
from tercet.errors import ModelNotFoundError
from tercet.hub.caches import (
    cached_repositories,
    openai_file,
    repository_folder,
    snapshot_folder,
    unfinished_files,
)
from tercet.hub.layout import folder_bytes, holds_whisper, missing_files, read_config
from tercet.hub.packages import distribution_of, in_package, installed_models, licence_of

PACKAGE, HUB = "package", "hub cache"
FASTER_WHISPER, OPENAI = "faster-whisper's copy", "openai-whisper's cache"
UNFINISHED = "unfinished download"
_LANGUAGES = {51864: 1, 51865: 99, 51866: 100}  # by the size of the vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One place on this machine where a model lies."""

    place: str  # one of the words above
    source: str  # the distribution, the hub id or the file's name
    path: Path
    size_bytes: int
    missing: tuple[str, ...] = ()  # files; with any, the copy cannot be opened

    @property
    def is_whole(self) -> bool:
        """Whether it can be opened."""
        return not self.missing and self.place != UNFINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model of the catalog, or one that is on this machine only; None where nobody says."""

    name: str
    repository: str | None
    languages: int | None
    licence: str | None
    download_mb: int | None
    copies: tuple[Copy, ...]  # the first whole one is what the name opens


def list_models() -> list[Listed]:
    """The catalog in its order, then packages of other names, then Whispers cached by their id."""
    listed = [_known(row) for row in CATALOG.values()]
    for name in installed_models():
        if name not in CATALOG:
            listed.append(_packaged(name))
    for repository in cached_repositories():
        if known_model(repository) is None and (found := _cached(repository)) is not None:
            listed.append(found)
    return listed


def copies_of(name: str) -> tuple[Copy, ...]:
    """Where a name's model lies on this machine; the order is that in which places are asked."""
    known = known_model(name)
    if known is None or name in (known.repository, *known.copies):
        return tuple(_in_packages(name)) + tuple(_in_hub_cache(name, HUB))
    found = [*_in_packages(name), *_in_hub_cache(known.repository, HUB)]
    for copy in known.copies:
        found += _in_hub_cache(copy, FASTER_WHISPER)
    if (file := openai_file(known, name)) is not None:
        found.append(
            Copy(place=OPENAI, source=file.name, path=file, size_bytes=file.stat().st_size)
        )
    return tuple(found)


def _known(row: KnownModel) -> Listed:
    return Listed(
        name=row.name,
        repository=row.repository,
        languages=row.languages,
        licence=row.licence,
        download_mb=row.download_mb,
        copies=copies_of(row.name),
    )


def _packaged(name: str) -> Listed:
    entries = installed_models()[name]
    copies = tuple(_in_packages(name))
    return Listed(
        name=name,
        repository=None,
        languages=_languages_of(copies[0].path) if copies else None,
        licence=licence_of(entries[0]),
        download_mb=None,
        copies=copies,
    )


def _cached(repository: str) -> Listed | None:
    """A repository outside the catalog, if it is known to hold a Whisper."""
    snapshot = snapshot_folder(repository)
    if snapshot is None or not holds_whisper(snapshot):
        return None
    return Listed(
        name=repository,
        repository=repository,
        languages=_languages_of(snapshot),
        licence=None,
        download_mb=None,
        copies=tuple(_in_hub_cache(repository, HUB)),
    )


def _in_packages(name: str) -> Iterator[Copy]:
    try:
        folder = in_package(name)
    except ModelNotFoundError:  # two of one name, or a hollow one: said when it is asked for
        return
    if folder is not None:
        source = distribution_of(installed_models()[name][0])
        size_bytes = folder_bytes(folder)
        yield Copy(place=PACKAGE, source=source, path=folder, size_bytes=size_bytes)


def _in_hub_cache(repository: str, place: str) -> Iterator[Copy]:
    snapshot = snapshot_folder(repository)
    if snapshot is not None:
        missing = missing_files(snapshot)
        yield Copy(
            place=place,
            source=repository,
            path=snapshot,
            size_bytes=folder_bytes(snapshot),
            # A tokenizer alone may be lent by another model.
            missing=() if missing == ["tokenizer.json"] else tuple(missing),
        )
    if parts := unfinished_files(repository):
        size_bytes = sum(part.stat().st_size for part in parts)
        yield Copy(
            place=UNFINISHED,
            source=repository,
            path=repository_folder(repository),
            size_bytes=size_bytes,
        )


def _languages_of(folder: Path) -> int | None:
    return _LANGUAGES.get(read_config(folder).get("vocab_size", 0))
