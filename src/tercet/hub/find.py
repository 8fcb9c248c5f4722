"""Where a model's name leads: a path, an installed package, a cache, and only then the hub."""

import os
import re
from pathlib import Path
from typing import NoReturn

from tercet.catalog import CATALOG, KnownModel, closest_names, known_model
from tercet.errors import ModelNotFoundError
from tercet.hub.caches import cached_snapshot, openai_file, snapshot_folder
from tercet.hub.layout import TOKENIZER, WEIGHT_FILES, holds_model, missing_files
from tercet.hub.packages import in_package, installed_models
from tercet.hub.refusals import way_without_hub
from tercet.hub.transfer import Progress

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_model(
    name: str | Path,
    *,
    offline: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """A folder or file that `tercet.checkpoint` can open.

    Args:
        name: a path; the name of an installed data package; a name of the catalog ("small",
            "turbo"); a hub id ("owner/name"), which means that repository and no other copy.
        offline: True never asks the hub; None follows the environment's `HF_HUB_OFFLINE`.
        revision: a branch, tag or commit of the hub repository; only the hub and its cache are
            asked then.
        token: for private and gated repositories; by default huggingface_hub takes the
            environment's (`HF_TOKEN`).
        on_progress: called while bytes arrive, with those done and those known to come.

    Raises:
        ModelNotFoundError: nothing of that name can be had; one line says what to do.
    """
    if (path := as_path(name)) is not None:
        return path
    name = str(name)
    if (found := find_here(name, revision=revision)) is not None:
        return found
    if is_offline(offline):
        absence = describe_absence(name, revision=revision)
        raise ModelNotFoundError(f"{absence} and the hub is switched off; {way_without_hub(name)}")
    from tercet.hub.fetch import fetch_model

    return fetch_model(
        name, repository_of(name), revision=revision, token=token, on_progress=on_progress
    )


def find_here(name: str, *, revision: str | None = None) -> Path | None:
    """A whole model of that name on this machine, paths aside; the hub is not asked.

    Raises:
        ModelNotFoundError: the name is none, or its package is damaged.
    """
    if revision is None and (package := in_package(name)) is not None:
        return package
    found = cached_snapshot(repository_of(name), revision=revision)
    known = None if HUB_ID.fullmatch(name) else known_model(name)
    if found is None and known is not None and revision is None:
        copies = (cached_snapshot(copy) for copy in known.copies)
        found = next((copy for copy in copies if copy is not None), None)
        found = found or openai_file(known, name)
    return found


def repository_of(name: str) -> str:
    """The hub id that a name means.

    Raises:
        ModelNotFoundError: it means none; the line suggests others.
    """
    if HUB_ID.fullmatch(name):
        return name
    known = known_model(name)
    if known is None:
        _refuse_unknown(name)
    return known.repository


def is_offline(offline: bool | None = None) -> bool:
    """Whether the hub is switched off, by the caller or by the environment.

    The variables are huggingface_hub's: `HF_HUB_OFFLINE`, and `TRANSFORMERS_OFFLINE`.
    """
    if offline is not None:
        return offline
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def find_tokenizer(
    vocab_size: int, *, offline: bool | None = None, token: str | None = None
) -> Path:
    """A `tokenizer.json` for weights that came without one (OpenAI's `.pt`).

    All of OpenAI's models of one vocabulary share it, so that any copy will do: an installed
    model's, a cached one, or the hub's (2 MB).

    Args:
        vocab_size: 51864 (English only), 51865 (99 languages) or 51866 (100 languages).
        offline: as for `find_model`.
        token: as for `find_model`.

    Raises:
        ModelNotFoundError: no copy can be had; one line says what to do.
    """
    siblings = [row for row in CATALOG.values() if row.openai_vocab_size == vocab_size]
    if not siblings:
        raise ModelNotFoundError(
            f"no known Whisper has a vocabulary of {vocab_size}; put the tokenizer.json of the "
            "model beside its weights"
        )
    if (here := _tokenizer_here(siblings)) is not None:
        return here
    repository = siblings[0].repository
    if is_offline(offline):
        raise ModelNotFoundError(
            f"the tokenizer of {repository} is not on this machine and the hub is switched off; "
            f"put its {TOKENIZER} beside the weights"
        )
    from tercet.hub.fetch import fetch_tokenizer

    return fetch_tokenizer(repository, token=token)


def _tokenizer_here(siblings: list[KnownModel]) -> Path | None:
    for row in siblings:
        snapshots = (snapshot_folder(each) for each in (row.repository, *row.copies))
        for folder in (in_package(row.name), *snapshots):
            if folder is not None and (folder / TOKENIZER).is_file():
                return folder / TOKENIZER
    return None


def model_here(name: str | Path) -> Path | None:
    """Where a model lies on this machine: a path, or an installed package; None for the hub's, or none."""
    try:
        return as_path(name) or in_package(str(name))
    except ModelNotFoundError:  # said where it is opened
        return None


def as_path(name: str | Path) -> Path | None:
    """The path that `name` is, or None where it is a name to look up.

    A folder that happens to be called "base" hides the model "base" only if it holds a model.

    Raises:
        ModelNotFoundError: it is written as a path, and nothing is there.
    """
    text = str(name)
    try:
        path = Path(name).expanduser()
        is_there = bool(text) and path.exists()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ):  # too long for a path, not ours to see, no such user
        return None
    # "owner/name" stays a name unless such a folder is there.
    is_written_as_path = (
        isinstance(name, Path)
        or Path(text).is_absolute()
        or text.startswith((".", "~"))
        or text.endswith((*WEIGHT_FILES, "/", os.sep))
    )
    if is_there and (is_written_as_path or holds_model(path) or (path.is_dir() and "/" in text)):
        return path
    if is_written_as_path:
        raise ModelNotFoundError(
            f"model {text!r}: no such file or folder; check it, or give a model's name"
        )
    return None


def describe_absence(name: str, *, revision: str | None = None) -> str:
    """Half a line on a model that is not here, or not all of it: every file that is missing."""
    known = None if HUB_ID.fullmatch(name) or revision is not None else known_model(name)
    for repository in (repository_of(name), *(known.copies if known else ())):
        folder = snapshot_folder(repository, revision=revision)
        if folder is not None and (missing := missing_files(folder)):
            told = ", ".join(missing)
            return f"model {name!r} is only partly on this machine (missing in {folder}: {told})"
    return f"model {name!r} is not on this machine"


def _refuse_unknown(name: str) -> NoReturn:
    names = closest_names(name, also=installed_models())
    meant = " or ".join(map(repr, names or ("base", "small", "turbo")))
    raise ModelNotFoundError(
        f"no model is called {name!r}; did you mean {meant}? A folder or a hub id works too"
    )
