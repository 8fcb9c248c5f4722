"""Publish a model, heads or an adapter: one commit with all that is new, compared with the hub's sums.

huggingface_hub speaks to the hub. What is sent is what was read here at first: a file that changes meanwhile
stops the push before anything is committed.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tercet.errors import OptionError, PublishError
from tercet.hub.contents import Contents
from tercet.hub.fetch import quiet_library
from tercet.hub.find import HUB_ID, is_offline
from tercet.hub.outgoing import AT_ONCE_BYTES, Outgoing, Tally, read_outgoing
from tercet.hub.refusals import unpublished
from tercet.hub.transfer import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

MAIN = "main"
_NOTHING = "nothing was committed"
_UNKNOWN = "the same command finds out whether it was committed"
_TOKEN_WAYS = "set HF_TOKEN to a token that may write, or: hf auth login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What came of it."""

    address: str  # of the branch, for a browser
    commit: str  # that the branch is at now
    sent: tuple[
        str, ...
    ]  # names of files that were new or had changed; (): there was nothing to do
    sent_bytes: int
    only_there: tuple[str, ...]  # what the branch has besides; it is left alone


def push(
    contents: Contents,
    repository: str,
    *,
    revision: str | None = None,
    message: str | None = None,
    private: bool = False,
    token: str | None = None,
    offline: bool | None = None,
    on_progress: Progress | None = None,
) -> Pushed:
    """Have a repository's branch hold these files, in one commit; the repository is made if it is not there.

    Args:
        contents: What to publish (`hub.contents.contents_of`).
        repository: Hub id, owner/name.
        revision: A branch, which is made from the main one if it is not there; None: the main one.
        message: Of the commit; None: one that names the contents.
        private: Make a new repository private. An old one must be so already.
        token: None: the environment's (`HF_TOKEN`), or the one that `hf auth login` kept.
        offline: True never asks the hub; None follows the environment's `HF_HUB_OFFLINE`.
        on_progress: Called while large files leave, with the bytes done and the bytes in all.

    Raises:
        OptionError: the id is none.
        PublishError: the hub cannot be reached, or refuses; a file changed while it was sent. Nothing was
            committed then, unless the line says so.
    """
    check_repository(repository)
    if is_offline(offline):
        raise PublishError(
            f"{repository}: the hub is switched off (HF_HUB_OFFLINE); nothing was pushed"
        )
    with quiet_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hub's on a card's metadata, the library's on itself
        return _push(contents, repository, revision, message, private, token, on_progress)


def check_repository(repository: str) -> None:
    """Whether a text can be a repository's name.

    Raises:
        OptionError: it cannot.
    """
    if not HUB_ID.fullmatch(repository) or ".." in repository or "--" in repository:
        raise OptionError(f"{repository!r} is not a hub id; give owner/name")


@dataclass(slots=True)
class _Remote:
    """A branch as the hub lists it."""

    commit: str
    sums: dict[str, tuple[str | None, str | None]] = field(
        default_factory=dict
    )  # SHA-256, git's name


def _push(
    contents: Contents,
    repository: str,
    revision: str | None,
    message: str | None,
    private: bool,
    token: str | None,
    on_progress: Progress | None,
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    with _one_line(repository, _NOTHING):
        token = token or get_token()
    if not token:
        raise PublishError(f"{repository}: the hub takes nothing without a token; {_TOKEN_WAYS}")
    api, branch = HfApi(token=token), revision or MAIN
    with ExitStack() as stack:
        tally = Tally(on_progress)
        with _one_line(repository, _NOTHING):
            files = [read_outgoing(each, stack, tally) for each in contents.files]
            before = _prepared(api, repository, branch, private)
        new = [
            each for each in files if not each.is_there_alike(before.sums.get(each.content.name))
        ]
        commit = before.commit
        if new:
            with _one_line(repository, _NOTHING):
                additions = [
                    CommitOperationAdd(path_in_repo=each.content.name, path_or_fileobj=each.body)
                    for each in new
                ]
                tally.begin(each.content for each in new if each.is_large)
                _send(api, repository, branch, additions, files)
            said = message or f"{contents.source.name}: {len(new)} files, by Tercet"
            with _one_line(repository, _UNKNOWN, refused=_NOTHING):
                commit = _commit(api, repository, branch, before.commit, additions, said)
            with _one_line(repository, f"committed as {commit[:8]}, but not compared"):
                _verify(api, repository, commit, files)
    names = {each.content.name for each in files}
    return Pushed(
        address=f"{api.endpoint}/{repository}" + ("" if branch == MAIN else f"/tree/{branch}"),
        commit=commit,
        sent=tuple(each.content.name for each in new),
        sent_bytes=sum(each.content.size_bytes for each in new),
        only_there=tuple(sorted(set(before.sums) - names - {".gitattributes"})),
    )


def _prepared(api: "HfApi", repository: str, branch: str, private: bool) -> _Remote:
    """The branch as it is; repository and branch are made if they are not there."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = api.model_info(repository)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        # A name without a word on who may see it follows its owner's rule.
        api.create_repo(repository, private=private or None, exist_ok=True)
        info = api.model_info(repository)
    if private and info.private is False:
        raise PublishError(
            f"{repository}: is there, and everybody sees it; make it private on its page, or push without "
            "--private"
        )
    try:
        return _listed(api, repository, branch)
    except RevisionNotFoundError:
        api.create_branch(repository, branch=branch, exist_ok=True)
        return _listed(api, repository, branch)


def _listed(api: "HfApi", repository: str, revision: str) -> _Remote:
    info = api.model_info(repository, revision=revision, files_metadata=True)
    sums = {
        each.rfilename: (each.lfs.sha256 if each.lfs else None, each.blob_id)
        for each in info.siblings or ()
    }
    return _Remote(info.sha or "", sums)


def _send(
    api: "HfApi",
    repository: str,
    branch: str,
    additions: "list[CommitOperationAdd]",
    files: Sequence[Outgoing],
) -> None:
    """Bring the large files to the hub's storage, where nobody sees them yet."""
    # One by one: the library sends several in threads, for which Ctrl-C would have to wait.
    large = [[each] for each in additions if each.upload_info.size > AT_ONCE_BYTES]
    small = [each for each in additions if each.upload_info.size <= AT_ONCE_BYTES]
    for each in (*large, small):
        api.preupload_lfs_files(repository, each, revision=branch, free_memory=False)
    if changed := [str(each.content.path) for each in files if each.has_changed()]:
        raise PublishError(
            f"{', '.join(changed)}: changed while it was sent; nothing was committed, push again"
        )


def _commit(
    api: "HfApi",
    repository: str,
    branch: str,
    parent: str,
    additions: "list[CommitOperationAdd]",
    message: str,
) -> str:
    """Make all files one commit; its name."""
    # A parent makes the hub refuse if somebody else committed meanwhile.
    return api.create_commit(
        repository,
        additions,
        commit_message=message,
        revision=branch,
        parent_commit=parent or None,
    ).oid


def _verify(api: "HfApi", repository: str, commit: str, files: Sequence[Outgoing]) -> None:
    """The hub's sums are ours; a mirror that tells none is believed."""
    there = _listed(api, repository, commit).sums
    wrong = []
    for each in files:
        sums = there.get(each.content.name)
        if sums is None or (any(sums) and not each.is_there_alike(sums)):
            wrong.append(each.content.name)
    if wrong:
        raise PublishError(
            f"{repository}: committed as {commit[:8]}, but what the hub has of {', '.join(wrong)} is not "
            "what was sent (another checksum, or left out); push again, or take the commit back there"
        )


@contextmanager
def _one_line(repository: str, broken: str, refused: str | None = None) -> Iterator[None]:
    """Errors as lines that end with what the repository has now: after a broken line, after a refusal."""
    try:
        yield
    except PublishError:
        raise
    except Exception as error:  # the hub's client raises its HTTP library's errors, which change
        raise unpublished(repository, error, broken, refused or broken) from error
