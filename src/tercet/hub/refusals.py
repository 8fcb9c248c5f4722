"""What goes wrong on the way to the hub and back, as one line each."""

import errno
import os
from collections.abc import Iterator

from tercet.errors import ModelNotFoundError, PublishError

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


_SAID_LETTERS = 200
_WRITE_REFUSALS = {
    401: "the hub does not know the token (HTTP 401); set HF_TOKEN to a valid one that may write",
    402: "the hub wants to be paid for this (HTTP 402); see its page",
    403: "the token may not write there (HTTP 403); use one with write access, or an owner that is yours",
    409: "somebody else changed it meanwhile (HTTP 409); see what is there, and push again",
    412: "somebody else changed it meanwhile (HTTP 412); see what is there, and push again",
    413: "the hub finds a file too large (HTTP 413); store the weights in shards",
    416: "somebody else changed it meanwhile (HTTP 416); see what is there, and push again",
    507: "the owner has no room left on the hub (HTTP 507); free some there",
}


def unpublished(repository: str, error: Exception, broken: str, refused: str) -> PublishError:
    """The line for whatever stopped a push.

    Args:
        repository: The hub id.
        error: What huggingface_hub, its HTTP library or the disk raised.
        broken: What the repository has of it if nobody answered, or the hub itself failed.
        refused: What it has of it if the hub refused.
    """
    causes = list(_chain(error))
    is_refused = any(400 <= _status_of(each) < 500 for each in causes)
    return PublishError(
        f"{repository}: {_push_reason(causes)}; {refused if is_refused else broken}"
    )


def _status_of(error: BaseException) -> int:
    """The hub's answer that an error is about; 0: it is about none."""
    return getattr(getattr(error, "response", None), "status_code", None) or 0


def _push_reason(causes: list[BaseException]) -> str:
    from huggingface_hub import errors

    for error in causes:
        status = _status_of(error)
        if isinstance(error, errors.GatedRepoError):
            return "it is gated; ask for access on its page"
        if isinstance(error, errors.RepositoryNotFoundError):
            return (
                "the hub has no such repository, or the token may not see it; check owner and token"
            )
        if isinstance(error, errors.OfflineModeIsEnabled):
            return "the hub is switched off (HF_HUB_OFFLINE)"
        if status in _WRITE_REFUSALS:
            return _WRITE_REFUSALS[status]
        if status:
            later = "try again later" if status >= 500 or status == 429 else "correct that"
            return f"the hub answered HTTP {status}{_told(error)}; {later}"
        if isinstance(error, OSError) and error.filename is not None:
            return f"cannot read {error.filename}: {os.strerror(error.errno or 0)}"
        if isinstance(
            error, ValueError
        ):  # what the library itself finds wrong, a card's metadata for one
            return " ".join(str(error).split())[:_SAID_LETTERS]
    return f"the hub cannot be reached ({type(causes[-1]).__name__}); check the network and HF_ENDPOINT"


def _told(error: BaseException) -> str:
    """The hub's own words, if it has any."""
    said = getattr(error, "server_message", None)
    return f" ({' '.join(str(said).split())[:_SAID_LETTERS]})" if said else ""
