"""A repository's files from the hub into its cache: listed, chosen, received, laid out.

huggingface_hub lists and lays out; the bytes come through `transfer`.
"""

import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tercet.errors import ModelNotFoundError
from tercet.hub.caches import cache_root, repository_folder
from tercet.hub.layout import CONFIG, TOKENIZER, model_files, weight_patterns
from tercet.hub.refusals import explained, way_without_hub
from tercet.hub.transfer import DamagedError, Progress, RemoteFile, matches, receive

Choice = Callable[[Collection[str]], list[str]]
_BLOB_NAME = re.compile(r"\w[\w.-]*")


def fetch_model(
    name: str,
    repository: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    on_progress: Progress | None = None,
    check: bool = False,
) -> Path:
    """Ask the hub for a model and fetch what of it is not in the cache.

    Args:
        name: what the user called it, for the error's line.
        repository: its hub id.
        revision: as for `find_model`.
        token: as for `find_model`.
        on_progress: as for `find_model`.
        check: compute the checksums of files that are in the cache already, too, and replace
            damaged ones.

    Returns:
        The snapshot's folder.

    Raises:
        ModelNotFoundError: it cannot be had; one line says what to do.
    """

    def choose(names: Collection[str]) -> list[str]:
        if not weight_patterns(names):
            raise ModelNotFoundError(
                f"model {name!r}: the hub repository {repository} has no weights that Tercet reads "
                "(model.safetensors, pytorch_model.bin, model.bin); choose another"
            )
        if CONFIG not in names:
            raise ModelNotFoundError(
                f"model {name!r}: the hub repository {repository} has no {CONFIG}; choose another"
            )
        return model_files(names)

    about, way = f"model {name!r}", way_without_hub(name)
    with _one_line(about, way, repository, revision):
        return _fetch(repository, choose, about, revision, token, on_progress, check)


def fetch_tokenizer(repository: str, *, token: str | None = None) -> Path:
    """The tokenizer alone.

    Raises:
        ModelNotFoundError: it cannot be had; one line says what to do.
    """

    def choose(names: Collection[str]) -> list[str]:
        if TOKENIZER not in names:
            raise ModelNotFoundError(f"the hub repository {repository} has no {TOKENIZER}; {way}")
        return [TOKENIZER]

    about, way = f"tokenizer of {repository}", f"put {TOKENIZER} beside the weights"
    with _one_line(about, way, repository, None):
        return _fetch(repository, choose, about, None, token, None, False) / TOKENIZER


def fetch_file(
    about: str,
    way: str,
    repository: str,
    file: str,
    *,
    token: str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """One file of a repository.

    Args:
        about: what is wanted, for the error's line to begin with.
        way: how to get it otherwise, for it to end with.
        repository: the hub id.
        file: its path in the repository.
        token: as for `find_model`.
        on_progress: as for `find_model`.

    Raises:
        ModelNotFoundError: it cannot be had; one line says what to do.
    """

    def choose(names: Collection[str]) -> list[str]:
        if file not in names:
            raise ModelNotFoundError(
                f"{about}: the hub repository {repository} has no file {file}; check its name, or {way}"
            )
        return [file]

    with _one_line(about, way, repository, None):
        return _fetch(repository, choose, about, None, token, on_progress, False) / file


@contextmanager
def _one_line(about: str, way: str, repository: str, revision: str | None) -> Iterator[None]:
    try:
        with quiet_library():
            yield
    except ModelNotFoundError:
        raise
    except DamagedError as error:
        raise ModelNotFoundError(
            f"{about}: {error} arrived damaged (its checksum is not the one that the hub "
            f"announced for {repository}) and was removed; try again, or {way}"
        ) from error
    except Exception as error:  # the hub's client raises its HTTP library's errors, which change
        raise explained(about, way, repository, error, revision) from error


@contextmanager
def quiet_library() -> Iterator[None]:
    """huggingface_hub draws and logs nothing inside; afterwards it is as it was."""
    from huggingface_hub.utils import logging as library_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    was_silent, verbosity = are_progress_bars_disabled(), library_logging.get_verbosity()
    disable_progress_bars()
    library_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        if not was_silent:
            enable_progress_bars()


def _fetch(
    repository: str,
    choose: Choice,
    about: str,
    revision: str | None,
    token: str | None,
    on_progress: Progress | None,
    check: bool,
) -> Path:
    from huggingface_hub import snapshot_download

    # The library exports it to all but type checkers.
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    files = _announced(repository, choose, revision, token)
    folder = repository_folder(repository)
    blobs = {file.name: folder / "blobs" / file.checksum for file in files}
    if check:
        for file in files:
            if blobs[file.name].exists() and not matches(blobs[file.name], file.checksum):
                blobs[file.name].unlink()
    _refuse_a_full_disk(about, files, blobs)
    tally = _Tally(files, on_progress)
    headers = build_hf_headers(token=token)
    for file in files:
        receive(file, folder, headers, tally.of(file.name))
    # Every blob is there: this makes the links and remembers the branch's commit.
    snapshot = Path(
        snapshot_download(
            repository,
            revision=revision,
            token=token,
            allow_patterns=[file.name for file in files],
        )
    )
    for file in files:
        _check_link(snapshot / file.name, file)
    return snapshot


def _announced(
    repository: str, choose: Choice, revision: str | None, token: str | None
) -> list[RemoteFile]:
    """The chosen files with their sizes and checksums, smallest first."""
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url

    info = HfApi(token=token).model_info(repository, revision=revision, files_metadata=True)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = []
    for name in choose(siblings):
        sibling = siblings[name]
        url = hf_hub_url(repository, name, revision=info.sha)
        checksum = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        size_bytes = sibling.lfs.size if sibling.lfs else sibling.size
        if checksum is None:  # a mirror whose listing is short
            described = get_hf_file_metadata(url, token=token)
            checksum, size_bytes = described.etag, described.size
        if not checksum or not _BLOB_NAME.fullmatch(checksum):  # it becomes a file's name
            raise ModelNotFoundError(
                f"the hub at {url.partition('/resolve/')[0]} announces no checksum for {name}; "
                "if HF_ENDPOINT is set, check that it speaks the hub's protocol"
            )
        files.append(RemoteFile(name=name, url=url, size_bytes=size_bytes, checksum=checksum))
    return sorted(files, key=lambda file: file.size_bytes or 0)


def _refuse_a_full_disk(about: str, files: list[RemoteFile], blobs: dict[str, Path]) -> None:
    """Say before the download, rather than after hours of it, that there is no room."""
    to_come = 0
    for file in files:
        blob = blobs[file.name]
        part = blob.with_name(f"{blob.name}.incomplete")
        if not blob.exists():
            to_come += (file.size_bytes or 0) - (part.stat().st_size if part.exists() else 0)
    place = cache_root()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if to_come > free:
        raise ModelNotFoundError(
            f"{about}: {to_come / 1e6:.0f} MB are to come and {free / 1e6:.0f} MB are free in "
            f"{cache_root()}; free some, or set HF_HOME elsewhere"
        )


class _Tally:
    """Adds the files' bytes up for the caller's callback."""

    def __init__(self, files: list[RemoteFile], on_progress: Progress | None) -> None:
        self._done = dict.fromkeys((file.name for file in files), 0)
        self._total = sum(file.size_bytes or 0 for file in files)
        self._on_progress = on_progress

    def of(self, name: str) -> Callable[[int], None]:
        def on_bytes(done: int) -> None:
            self._done[name] = done
            if self._on_progress is not None:
                self._on_progress(sum(self._done.values()), self._total)

        return on_bytes


def _check_link(path: Path, file: RemoteFile) -> None:
    """A file of the snapshot is the blob that was checked, or has its checksum."""
    blob = path.resolve()
    # The branch may have moved meanwhile; then huggingface_hub fetched the file, unchecked.
    checksum = blob.name if blob.parent.name == "blobs" else file.checksum
    if checksum != file.checksum and not matches(blob, checksum):
        path.unlink()
        blob.unlink(missing_ok=True)
        raise DamagedError(file.name)
