"""Find a head: by path, by the catalog's name, as one file on the hub; and say its licence first.

The first place that has a name wins:
    1. a file of that path;
    2. for whisper-at's heads, whisper-at's own cache (`~/.cache/whisper`). Their only address has no checksum
       and is no hub: they are never fetched;
    3. the hub's cache, then the hub, unless it is switched off. One file is fetched, no repository.
Whether a head fits a model is `convert/head_fit.py`'s concern.
"""

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tercet.catalog import KnownHead, closest_head_names, is_non_commercial, known_head
from tercet.errors import LicenceWarning, ModelNotFoundError
from tercet.hub.caches import snapshot_folder, whisper_cache
from tercet.hub.find import is_offline
from tercet.hub.layout import HEAD_FILES
from tercet.hub.transfer import Progress, matches

if TYPE_CHECKING:
    from tercet.checkpoint.heads import Head

_SUFFIXES = (".safetensors", ".pth", ".pt", ".model", ".ckpt", ".bin")
_ON_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*):(\w[\w.+ -]*(?:/\w[\w.+ -]*)*)")
_WAYS = "give a file's path, or owner/name:file on the hub"


def find_head(
    name: str | Path,
    *,
    offline: bool | None = None,
    token: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """A file that `tercet.checkpoint.head_file.open_head` can open.

    Args:
        name: A path; a name of the catalog ("whisper-at:medium.en", "ichigo-asr-2501-en-vi"); or a file on
            the hub, "owner/name:file".
        offline: True never asks the hub; None follows the environment's `HF_HUB_OFFLINE`.
        token: For private and gated repositories; by default the environment's (`HF_TOKEN`).
        on_progress: Called while bytes arrive, with those done and those known to come.

    Raises:
        ModelNotFoundError: nothing of that name can be had, or it has another checksum than the
            published one; one line says what to do.
    """
    if (path := _as_file(name)) is not None:
        return path
    name = str(name)
    known = known_head(name)
    if known is not None and known.address:
        return _in_whisper_at_cache(name, known)
    if known is not None:
        return _from_hub(name, known.repository, known.file, offline, token, on_progress)
    if (found := _ON_HUB.fullmatch(name)) is not None:
        return _from_hub(name, found[1], found[2], offline, token, on_progress)
    names = closest_head_names(name) or ("whisper-at:medium", "ichigo-asr-2501-en-vi")
    meant = " or ".join(map(repr, names))
    raise ModelNotFoundError(f"no head is called {name!r}; did you mean {meant}? Or {_WAYS}")


def head_here(name: str | Path) -> Path | None:
    """The file that a name means whatever any hub says: a path's, or whisper-at's copy.

    None for a file of the hub, cached or not, and for what is not there.
    """
    try:
        if (path := _as_file(name)) is not None:
            return path
        known = known_head(str(name))
        is_never_fetched = known is not None and bool(known.address)
        return find_head(name, offline=True) if is_never_fetched else None
    except ModelNotFoundError:
        return None


def names_head(name: str | Path) -> bool:
    """Whether a name is a head's rather than a model's: a head's file, a known head, OWNER/NAME:FILE."""
    from tercet.checkpoint.head_file import is_head_file

    if (path := _existing_file(str(name))) is not None:
        # A lone file of that kind is no model; whether it is whole is said where it is opened.
        return path.suffix == ".safetensors" or is_head_file(path)
    if Path(name).expanduser().is_dir():
        return False
    is_file_name = Path(name).suffix in _SUFFIXES or _ON_HUB.fullmatch(str(name))
    return bool(is_file_name) or known_head(str(name)) is not None


def load_head(
    name: str | Path,
    *,
    mode: str | None = None,
    labels: Sequence[str] | None = None,
    offline: bool | None = None,
    on_progress: Progress | None = None,
) -> "Head":
    """Find a head, say its licence (`LicenceWarning`), and open it.

    Args:
        name: As for `find_head`.
        mode: As for `open_head`.
        labels: As for `open_head`.
        offline: As for `find_head`.
        on_progress: As for `find_head`.

    Returns:
        The head; where it is a published one in its own layout, its origin is the catalog's.

    Raises:
        TercetError: those of `find_head` and `open_head`.
    """
    from tercet.checkpoint.head_file import open_head  # late: finding alone needs no NumPy

    is_said = warn_about_licence(name)
    path = find_head(name, offline=offline, on_progress=on_progress)
    if not is_said:  # what was fetched may say more than its name
        warn_about_licence(path)
    known = known_head(str(name)) or known_head(path.name)
    head = open_head(path, mode=mode, labels=labels)
    if known is None or head.arrays.path.suffix == ".safetensors":
        return head
    origin = replace(
        head.origin,
        name=known.name,
        licence=known.licence,
        source=known.source,
        encoder_name=known.encoder,
    )
    return replace(head, origin=origin)


def heads_beside(model_folder: Path) -> dict[str, Path]:
    """The heads that came with a model: {"tags": file, "tokens": file}, or those of them that are there."""
    return {
        reading: model_folder / file
        for reading, file in HEAD_FILES.items()
        if (model_folder / file).is_file()
    }


def licence_note(subject: "str | Path | Head") -> str | None:
    """One line on a licence that forbids commercial use; None where none is known to.

    Args:
        subject: A name or path as for `find_head`, which is not fetched and whose arrays are not used; or an
            open head.
    """
    if not isinstance(subject, str | Path):
        label = subject.origin.name or str(subject.arrays.path)
        return _note(label, subject.origin.licence)
    text = str(subject)
    if (path := _existing_file(text)) is not None:
        from tercet.checkpoint.head_file import read_origin

        origin = read_origin(path)
        if origin is not None and origin.licence:
            return _note(text, origin.licence)
    known = known_head(text) or known_head(Path(text).name)
    return None if known is None else _note(text, known.licence)


def warn_about_licence(subject: "str | Path | Head") -> bool:
    """Issue a `LicenceWarning` for weights that must not be used commercially; whether there was one.

    To be called with the name, before the file is fetched or opened.
    """
    note = licence_note(subject)
    if note is not None:
        warnings.warn(note, LicenceWarning, stacklevel=3)
    return note is not None


def _note(label: str, licence: str) -> str | None:
    if not is_non_commercial(licence):
        return None
    return f"{label}: these weights are under {licence}, which forbids commercial use"


def _existing_file(text: str) -> Path | None:
    """The file that `text` is the path of; None for a name, and for what no path can be."""
    try:
        path = Path(text).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long for a path, no such user
        return None


def _as_file(name: str | Path) -> Path | None:
    """The file that `name` is, or None where it is a name to look up.

    Raises:
        ModelNotFoundError: it is written as a path, and no file is there.
    """
    text = str(name)
    try:
        path = Path(name).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError, ValueError):  # too long for a path, no such user
        return None
    if is_file:
        return path
    is_written_as_path = (
        isinstance(name, Path)
        or path.is_absolute()
        or text.startswith((".", "~"))
        or text.endswith(("/", os.sep))
        or (path.suffix in _SUFFIXES and not _ON_HUB.fullmatch(text) and known_head(text) is None)
    )
    if is_written_as_path or (is_folder and known_head(text) is None):
        what = "is a folder; give the head's file in it" if is_folder else f"no such file; {_WAYS}"
        raise ModelNotFoundError(f"head {text!r}: {what}")
    return None


def _in_whisper_at_cache(name: str, known: KnownHead) -> Path:
    """The file that whisper-at downloaded."""
    path = whisper_cache() / known.file
    if not path.is_file():
        raise ModelNotFoundError(
            f"head {name!r} is not on this machine ({path}), and no hub has it: download {known.address} "
            "and give the file's path"
        )
    if known.sha256 and not matches(path, known.sha256):
        raise ModelNotFoundError(
            f"head {name!r}: {path} is damaged (its SHA-256 is not the published {known.sha256[:12]}..); "
            f"delete it, and download {known.address} again"
        )
    return path


def _from_hub(
    name: str,
    repository: str,
    file: str,
    offline: bool | None,
    token: str | None,
    on_progress: Progress | None,
) -> Path:
    """One file of a repository: the cache's, else the hub's."""
    folder = snapshot_folder(repository)
    if folder is not None and (folder / file).is_file():
        return folder / file
    about, way = f"head {name!r}", f"give the path of a copy of {file}"
    if is_offline(offline):
        raise ModelNotFoundError(
            f"{about} is not on this machine and the hub is switched off; {way}"
        )
    from tercet.hub.fetch import fetch_file

    return fetch_file(about, way, repository, file, token=token, on_progress=on_progress)
