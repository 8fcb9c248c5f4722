"""Take a model out of the hub's cache, by huggingface_hub's own means. Touches nothing else."""

from dataclasses import replace

from tercet.errors import ModelNotFoundError
from tercet.hub.caches import cache_root, repository_folder, unfinished_files
from tercet.hub.find import as_path, repository_of
from tercet.hub.inventory import FASTER_WHISPER, OPENAI, PACKAGE, Copy, copies_of
from tercet.hub.packages import installed_models


def remove_model(name: str) -> int:
    """Delete a model's repository from the hub's cache, unfinished downloads of it included.

    A catalog's name means its own repository; faster-whisper's copy goes by its hub id.

    Returns:
        The bytes that were freed.

    Raises:
        ModelNotFoundError: it is not there, or elsewhere (the line says how to remove it from
            there), or it cannot be deleted.
    """
    if (path := as_path(name)) is not None:
        raise ModelNotFoundError(
            f"model {name!r} is a path of yours ({path}), not a cached model; delete it yourself"
        )
    repository = None if name in installed_models() and "/" in name else repository_or_none(name)
    freed = 0 if repository is None else _remove(repository)
    if not freed:
        raise ModelNotFoundError(_elsewhere(name, copies_of(name)))
    return freed


def repository_or_none(name: str) -> str | None:
    """The hub id that a name means; None for the name of a package that is in no catalog.

    Raises:
        ModelNotFoundError: nobody knows the name.
    """
    try:
        return repository_of(name)
    except ModelNotFoundError:
        if name in installed_models():
            return None
        raise


def _remove(repository: str) -> int:
    """The bytes freed; 0 if the cache has nothing of it."""
    folder = repository_folder(repository)
    if not folder.is_dir():
        return 0
    if not folder.resolve().is_relative_to(cache_root().resolve()):
        raise ModelNotFoundError(
            f"model {repository!r}: {folder} leads out of the cache; delete it yourself"
        )
    from huggingface_hub import scan_cache_dir

    parts = unfinished_files(repository)
    freed = sum(part.stat().st_size for part in parts)
    found = scan_cache_dir(cache_root())
    [*mine] = (each for each in found.repos if each.repo_path.resolve() == folder.resolve())
    if mine:
        # One repository alone: commits of two may have one name (a copy under another id).
        alone = replace(found, repos=frozenset(mine))
        strategy = alone.delete_revisions(*(each.commit_hash for each in mine[0].revisions))
        freed += strategy.expected_freed_size
        strategy.execute()
    for part in parts:
        part.unlink(missing_ok=True)
    # The library passes over what it cannot delete, and over what it cannot make sense of.
    if (folder.is_dir() and mine) or not (mine or parts):
        raise ModelNotFoundError(
            f"model {repository!r} could not be deleted whole; check the permissions of {folder}, "
            "or delete it yourself"
        )
    return freed


def _elsewhere(name: str, copies: tuple[Copy, ...]) -> str:
    for copy in copies:
        if copy.place == PACKAGE:
            return f"model {name!r} is in a package; remove it with: pip uninstall {copy.source}"
        if copy.place == FASTER_WHISPER:
            return (
                f"model {name!r} is here as faster-whisper's copy; remove that with: "
                f"tercet models remove {copy.source}"
            )
        if copy.place == OPENAI:
            return f"model {name!r} is openai-whisper's own file; delete it yourself: {copy.path}"
    return f"model {name!r} is not in the hub's cache on this machine; nothing to remove"
