"""Find a model: on the disk, in an installed data package, in a cache, on the hub.

Nothing is opened or run here. The first place that has a name wins:
    1. a folder or file of that path;
    2. an installed data package (entry-point group `tercet.models`; located, never imported);
    3. the hub's cache, also as a faster-whisper user has it there, and openai-whisper's own cache;
    4. the hub, unless it is switched off.
"""

import importlib.machinery
import importlib.util
import json
import os
import re
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NoReturn

from tercet.catalog import CATALOG, KnownModel, closest_names, known_model
from tercet.errors import ModelNotFoundError

GROUP = "tercet.models"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHT_FILES = (".pt", ".pth", ".bin", ".safetensors")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
Progress = Callable[[int, int], None]  # (bytes done, bytes in all as far as known)


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
            "turbo"); a hub id ("owner/name").
        offline: True never asks the hub; None follows the environment's `HF_HUB_OFFLINE`.
        revision: a branch, tag or commit of the hub repository; only the hub and its cache are
            asked then.
        token: for private and gated repositories; by default huggingface_hub takes the
            environment's (`HF_TOKEN`).
        on_progress: called while bytes arrive, with those done and those known to come.

    Raises:
        ModelNotFoundError: nothing of that name can be had; one line says what to do.
    """
    if (path := _as_path(name)) is not None:
        return path
    name = str(name)
    known = known_model(name)
    if revision is None and (package := _in_package(name)) is not None:
        return package
    repository = known.repository if known else name
    if known is None and not HUB_ID.fullmatch(name):
        _refuse_unknown(name)
    found = cached_snapshot(repository, revision=revision)
    if found is None and known is not None and revision is None:
        found = _in_other_caches(name, known)
    if found is not None:
        return found
    if is_offline() if offline is None else offline:
        raise ModelNotFoundError(
            f"model {name!r} is not on this machine and the hub is switched off; {_way(name)}"
        )
    return _fetch(name, repository, revision=revision, token=token, on_progress=on_progress)


def is_offline() -> bool:
    """Whether the environment keeps us from the hub (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


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
    for row in siblings:
        caches = (cached_snapshot(row.repository), cached_snapshot(row.ctranslate2))
        for folder in (_in_package(row.name), *caches):
            if folder is not None and (folder / TOKENIZER).is_file():
                return folder / TOKENIZER
    return _fetch_tokenizer(siblings[0].repository, offline=offline, token=token)


# Paths


def _as_path(name: str | Path) -> Path | None:
    """The path that `name` is, or None where it is a name to look up.

    A folder that happens to be called "base" hides the model "base" only if it holds a model.
    """
    text = str(name)
    try:
        path = Path(name).expanduser()
        is_there = bool(text) and path.exists()
    except (OSError, RuntimeError):  # too long for a path, not ours to look at, no such user
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


def holds_model(folder: Path) -> bool:
    """Whether a folder has a checkpoint's files, every shard included."""
    if not folder.is_dir():
        return False
    names = {entry.name for entry in folder.iterdir() if entry.is_file()}
    weights = weight_patterns(names)
    if CONFIG not in names or not weights:
        return False
    index = next((pattern for pattern in weights if pattern.endswith(".index.json")), None)
    return index is None or _shards(folder / index) <= names


def _shards(index: Path) -> set[str]:
    """The files that an index of shards names; an unreadable index names one that no folder has."""
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {""}


def weight_patterns(names: Collection[str]) -> tuple[str, ...]:
    """Which of a repository's or folder's files hold the weights, as patterns; the best form alone.

    Repositories often carry the same weights several times over (PyTorch, Flax, TensorFlow,
    float32 beside float16).
    """
    for single, shards in (
        ("model.safetensors", "model-*-of-*.safetensors"),
        ("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
        ("model.bin", ""),  # CTranslate2's
    ):
        if single in names:
            return (single,)
        if shards and f"{single}.index.json" in names:
            return (f"{single}.index.json", shards)
    return ()


# Data packages


def installed_models() -> dict[str, list[EntryPoint]]:
    """What the installed data packages announce: model name -> entry points (two are a clash)."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _in_package(name: str) -> Path | None:
    entries = installed_models().get(name, [])
    if not entries:
        return None
    if len(entries) > 1:
        owners = " and ".join(sorted(_distribution(entry) for entry in entries))
        raise ModelNotFoundError(
            f"model {name!r} is in two installed packages, {owners}; uninstall one of them"
        )
    [entry] = entries
    folder = next((place for place in _locations(entry.value) if holds_model(place)), None)
    if folder is None:
        owner = _distribution(entry)
        raise ModelNotFoundError(
            f"model {name!r}: the package {owner} is installed but {entry.value!r} holds no "
            f"complete model; reinstall it (pip install --force-reinstall {owner})"
        )
    return folder


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


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


# Caches


def cached_snapshot(repository: str, *, revision: str | None = None) -> Path | None:
    """The complete snapshot of a repository in the hub's cache, without asking the hub."""
    from huggingface_hub import (
        try_to_load_from_cache,
    )  # late: it costs import time and most starts do not need it
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, CONFIG, revision=revision)
    except HFValidationError:
        return None
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder is not None and holds_model(folder) else None


def _in_other_caches(name: str, known: KnownModel) -> Path | None:
    """The same weights as faster-whisper or openai-whisper left them on this machine."""
    if (folder := cached_snapshot(known.ctranslate2)) is not None:
        return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"
    files = (cache / f"{each}.pt" for each in dict.fromkeys((known.name, name)))
    return next((file for file in files if file.is_file()), None)


# The hub


def _fetch(
    name: str,
    repository: str,
    *,
    revision: str | None,
    token: str | None,
    on_progress: Progress | None,
) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    from tercet.hub_progress import byte_counter, without_bars

    try:
        siblings = HfApi(token=token).model_info(repository, revision=revision).siblings or ()
        weights = weight_patterns({file.rfilename for file in siblings})
        if not weights:
            raise ModelNotFoundError(
                f"model {name!r}: the hub repository {repository} has no weights that Tercet reads "
                "(model.safetensors, pytorch_model.bin, model.bin); choose another"
            )
        with without_bars():
            folder = snapshot_download(
                repository,
                revision=revision,
                token=token,
                allow_patterns=[*weights, "*.json", "vocabulary.txt", "merges.txt"],
                ignore_patterns=["*/*"],  # exports to other formats
                tqdm_class=byte_counter(on_progress),
            )
    except ModelNotFoundError:
        raise
    except Exception as error:  # the hub's client raises its HTTP library's errors, which change
        raise _explained(f"model {name!r}", _way(name), repository, error, revision) from error
    return Path(folder)


def _fetch_tokenizer(repository: str, *, offline: bool | None, token: str | None) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    from tercet.hub_progress import without_bars

    cached = try_to_load_from_cache(repository, TOKENIZER)
    if isinstance(cached, str):
        return Path(cached)
    if is_offline() if offline is None else offline:
        raise ModelNotFoundError(
            f"the tokenizer of {repository} is not on this machine and the hub is switched off; "
            "put its tokenizer.json beside the weights"
        )
    try:
        HfApi(token=token).model_info(repository)  # without a network the download insists for 20 s
        with without_bars():
            return Path(hf_hub_download(repository, TOKENIZER, token=token))
    except Exception as error:  # as in `_fetch`
        way = "put tokenizer.json beside the weights"
        raise _explained(f"tokenizer of {repository}", way, repository, error, None) from error


def _explained(
    about: str, way: str, repository: str, error: Exception, revision: str | None
) -> ModelNotFoundError:
    """One line for whatever went wrong on the way to the hub and back."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        reason = f"{repository} is gated; ask for access on its page, then set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"{repository} has no revision {revision!r}; check the branch, tag or commit"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = (
            f"the hub has no repository {repository}, or it is private; check the spelling, "
            "or set HF_TOKEN to a token that may read it"
        )
    elif isinstance(error, errors.HFValidationError):
        reason = f"{repository!r} is not a hub id (owner/name)"
    elif status in {401, 403}:
        reason = f"HTTP {status}; set HF_TOKEN to a token that may read {repository}"
    elif status is not None:
        reason = f"the hub answered HTTP {status}; try again later, or {way}"
    elif isinstance(error, errors.OfflineModeIsEnabled):
        reason = f"not on this machine and the hub is switched off; {way}"
    elif isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        reason = (
            f"cannot write {error.filename}: {error.strerror}; free space, or set HF_HOME elsewhere"
        )
    else:
        cause = type(error).__name__
        reason = f"not on this machine and the hub cannot be reached ({cause}); {way}"
    return ModelNotFoundError(f"{about}: {reason}")


def _way(name: str) -> str:
    """How to get the model without the hub, in a few words."""
    ways = "name a folder that holds it"
    if name == "base":
        return f"pip install tercet-base, or {ways}"
    return f"{ways}, or fetch it once where the hub can be reached (HF_HUB_OFFLINE unset)"


def _refuse_unknown(name: str) -> NoReturn:
    names = closest_names(name, also=installed_models())
    meant = " or ".join(map(repr, names or ("base", "small", "turbo")))
    raise ModelNotFoundError(
        f"no model is called {name!r}; did you mean {meant}? A folder or a hub id works too"
    )
