"""One file from the hub into its cache: resumed where it stopped, checked, then put in place.

huggingface_hub begins every interrupted file anew (since 1.18) and believes whatever arrives; a
model is gigabytes over lines that break, so its files are received here. The names on disk and the
locks are huggingface_hub's own, and other programs find the files where they look for them.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]  # (bytes done, bytes in all as far as known)

TRIES = 5  # in a row without one new byte
FIRST_WAIT_S = 1.0  # doubled after each vain try
CHUNK_BYTES = 1 << 17  # what a broken line can cost at most
_NOTHING_BEHIND = 416  # the part is not of this file
_WORTH_A_RETRY = {_NOTHING_BEHIND, 408, 425, 429, 500, 502, 503, 504}
_SHA256_DIGITS, _GIT_DIGITS = 64, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a repository, as the hub announces it."""

    name: str
    url: str
    size_bytes: int | None
    checksum: str  # SHA-256 of large files, git's SHA-1 of others; also the blob's name


class DamagedError(Exception):
    """What arrived is not what the hub announced."""


def matches(path: Path, checksum: str) -> bool:
    """Whether a file's content has this checksum; True where it is none that can be computed."""
    if len(checksum) not in (_SHA256_DIGITS, _GIT_DIGITS) or not _is_hex(checksum):
        return True
    with path.open("rb") as file:
        if len(checksum) == _SHA256_DIGITS:
            return hashlib.file_digest(file, "sha256").hexdigest() == checksum
        # git names a file by the SHA-1 of its length and its content. No secret depends on it.
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == checksum


def receive(
    file: RemoteFile, folder: Path, headers: dict[str, str], on_bytes: Callable[[int], None]
) -> Path:
    """Have a file in a repository's folder of the cache; one process at a time works on it.

    Args:
        file: what the hub announced.
        folder: the repository's, `models--owner--name`.
        headers: of each request, the token among them.
        on_bytes: called with the bytes of this file that are on the disk.

    Returns:
        The blob.

    Raises:
        DamagedError: the content has another checksum; it is removed.
        OSError: it cannot be written.
        Exception: those of huggingface_hub and its HTTP library; what arrived stays for a next try.
    """
    # The library exports it to all but type checkers.
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    blob = folder / "blobs" / file.checksum
    lock = folder.parent / ".locks" / folder.name / f"{file.checksum}.lock"
    for place in (blob.parent, lock.parent):
        place.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not blob.exists():
            part = blob.with_name(f"{file.checksum}.incomplete")
            is_resumed = part.exists()
            _complete(file, part, headers, on_bytes)
            if is_resumed and not matches(part, file.checksum):
                # The older part may come from a program that leaves holes in it.
                part.unlink()
                _complete(file, part, headers, on_bytes)
            if not matches(part, file.checksum):
                part.unlink()
                raise DamagedError(file.name)
            with part.open("rb") as whole:
                os.fsync(whole.fileno())
            part.replace(blob)
    on_bytes(blob.stat().st_size)
    return blob


def _complete(
    file: RemoteFile, part: Path, headers: dict[str, str], on_bytes: Callable[[int], None]
) -> None:
    """Ask for what the part lacks until it has all, patiently while bytes still come."""
    vain, has_new = 0, False
    while (before := _size_of(part)) != file.size_bytes or not part.exists():
        reason = None
        is_longer = file.size_bytes is not None and before > file.size_bytes
        if not is_longer:
            reason = _asked_once(file, part, before, headers, on_bytes)
            if reason is None and file.size_bytes is None:
                return
        if is_longer or _status_of(reason) == _NOTHING_BEHIND:
            part.unlink()  # it has more than the hub announced, or the hub has less
            if has_new:  # it would come so again, and again
                raise DamagedError(file.name)
            continue
        if _size_of(part) > before:
            vain, has_new = 0, True
            continue
        vain += 1
        if vain >= TRIES:
            raise reason or EOFError(f"{file.name} ended early")
        time.sleep(FIRST_WAIT_S * 2 ** (vain - 1))


def _asked_once(
    file: RemoteFile,
    part: Path,
    start: int,
    headers: dict[str, str],
    on_bytes: Callable[[int], None],
) -> Exception | None:
    """One request; what went wrong with it, if another may go better."""
    try:
        _append(file, part, start, headers, on_bytes)
    except Exception as error:  # the HTTP library's own kinds, which change
        status = _status_of(error)
        if isinstance(error, OSError) and status is None:  # the disk's
            raise
        if status is not None and status not in _WORTH_A_RETRY:
            raise
        return error
    return None


def _status_of(error: Exception | None) -> int | None:
    """The hub's answer that an error is about."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _append(
    file: RemoteFile,
    part: Path,
    start: int,
    headers: dict[str, str],
    on_bytes: Callable[[int], None],
) -> None:
    """One request for the bytes from `start` on, written behind those that are there."""
    from huggingface_hub import constants, get_session, hf_raise_for_status

    # Compressed, the bytes of a range would not be those of the file.
    asked = {**headers, "Accept-Encoding": "identity"}
    if start:
        asked["Range"] = f"bytes={start}-"
    request: dict[str, Any] = {"headers": asked, "follow_redirects": True}
    timeout_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", file.url, timeout=timeout_s, **request) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206 and response.headers.get(
            "Content-Range", f"bytes {start}-"
        ).startswith(f"bytes {start}-")
        done = start if goes_on else 0
        with part.open("ab" if goes_on else "wb") as out:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                out.write(chunk)
                done += len(chunk)
                on_bytes(done)


def _is_hex(text: str) -> bool:
    return set(text) <= set("0123456789abcdef")
