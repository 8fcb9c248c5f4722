"""What goes wrong on the way to the hub and back, as one line each."""

import errno
import os
from collections.abc import Iterator

from tercet.errors import ModelNotFoundError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EIO}


def way_without_hub(name: str) -> str:
    """How to get the model without the hub, in a few words."""
    ways = "name a folder that holds it"
    if name == "base":
        return f"pip install tercet-base, or {ways}"
    return f"{ways}, or fetch it where the hub can be reached: tercet models pull {name}"


def explained(
    about: str, way: str, repository: str, error: Exception, revision: str | None
) -> ModelNotFoundError:
    """The line for whatever huggingface_hub, its HTTP library or the disk raised.

    Args:
        about: what was wanted, to begin the line with.
        way: how to get it otherwise, to end the line with.
        repository: the hub id that was asked for.
        error: what was raised.
        revision: the branch, tag or commit that was asked for.
    """
    causes = list(_chain(error))
    reason = _disk_reason(causes) or _hub_reason(causes, repository, revision, way)
    return ModelNotFoundError(f"{about}: {reason}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it: huggingface_hub wraps a refusal into a missing file."""
    while error is not None:
        yield error
        error = error.__cause__


def _disk_reason(causes: list[BaseException]) -> str | None:
    for error in causes:
        if not isinstance(error, OSError):
            continue
        if error.errno in _NO_SPACE:
            return (
                f"no space left for {_place(error)}; free some, or set HF_HOME elsewhere "
                "(what has arrived is kept, the next try goes on from there)"
            )
        if error.errno in _NOT_WRITABLE:
            told = os.strerror(error.errno)
            return (
                f"cannot write {_place(error)}: {told}; make it writable, or set HF_HOME elsewhere"
            )
    return None


def _place(error: OSError) -> str:
    if error.filename is not None:
        return str(error.filename)
    from tercet.hub.caches import cache_root

    return str(cache_root())


def _hub_reason(
    causes: list[BaseException], repository: str, revision: str | None, way: str
) -> str:
    from huggingface_hub import errors

    for error in causes:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.GatedRepoError):
            return f"{repository} is gated; ask for access on its page, then set HF_TOKEN"
        if isinstance(error, errors.RevisionNotFoundError):
            return f"{repository} has no revision {revision!r}; check the branch, tag or commit"
        if isinstance(error, errors.RepositoryNotFoundError):
            return (
                f"the hub has no repository {repository}, or it is private; check the spelling, "
                "or set HF_TOKEN to a token that may read it"
            )
        if isinstance(error, errors.HFValidationError):
            return f"{repository!r} is not a hub id (owner/name)"
        if isinstance(error, errors.OfflineModeIsEnabled):
            return f"not on this machine and the hub is switched off; {way}"
        if status in {401, 403}:
            return f"HTTP {status}; set HF_TOKEN to a token that may read {repository}"
        if status is not None:
            return f"the hub answered HTTP {status}; try again later, or {way}"
    cause = type(causes[-1]).__name__
    return f"not on this machine and the hub cannot be reached ({cause}); {way}"
