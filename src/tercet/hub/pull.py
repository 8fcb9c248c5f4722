"""Have a whole, checked copy of a model on this machine: `tercet models pull`."""

from pathlib import Path

from tercet.errors import ModelNotFoundError
from tercet.hub.fetch import fetch_model
from tercet.hub.find import as_path, find_here, find_model, is_offline, repository_of
from tercet.hub.inventory import OPENAI, PACKAGE, copies_of
from tercet.hub.transfer import Progress, matches


def pull_model(
    name: str,
    *,
    revision: str | None = None,
    offline: bool | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Fetch what of a model is missing, and check what is here.

    A model that came through a package or openai-whisper is left as it is. Of the copies in the
    hub's cache, the one that the name opens is checked, and completed from the hub.

    Args:
        name: as for `find_model`, but no path.
        revision: as for `find_model`.
        offline: True asks no hub: a model that is not here, or is damaged, is an error.
        on_progress: as for `find_model`.

    Returns:
        Where it lies.

    Raises:
        ModelNotFoundError: it cannot be had; one line says what to do.
    """
    if as_path(name) is not None:
        raise ModelNotFoundError(
            f"model {name!r} is a path, and nothing to fetch; give a model's name"
        )
    if is_offline(offline):
        return _checked(name, find_model(name, offline=True, revision=revision))
    here = find_here(name, revision=revision)
    copies = copies_of(name) if revision is None else ()
    opened = next((copy for copy in copies if copy.path == here), None)
    if opened is not None and opened.place in (PACKAGE, OPENAI):
        return opened.path
    repository = repository_of(name) if opened is None else opened.source
    return fetch_model(name, repository, revision=revision, on_progress=on_progress, check=True)


def _checked(name: str, folder: Path) -> Path:
    """The same folder; files of the hub's cache are called by their checksums."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    blobs = {path.name: path.resolve() for path in files if path.is_file()}
    damaged = [
        each
        for each, blob in blobs.items()
        if blob.parent.name == "blobs" and not matches(blob, blob.name)
    ]
    if damaged:
        raise ModelNotFoundError(
            f"model {name!r} is damaged on this machine ({', '.join(damaged)} in {folder}); "
            "pull it again where the hub can be reached"
        )
    return folder
