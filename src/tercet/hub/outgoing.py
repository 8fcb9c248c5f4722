"""Files on their way to a hub: read once for their sums, held or kept open, counted while they leave."""

import hashlib
import io
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tercet.hub.contents import Content
from tercet.hub.transfer import CHUNK_BYTES, Progress

AT_ONCE_BYTES = 1 << 20  # up to this a file is held in memory, and sent in no time


@dataclass(slots=True)
class Outgoing:
    """A file as it was read at first."""

    content: Content
    body: (
        io.BytesIO | io.BufferedReader
    )  # file objects: huggingface_hub sends others by Xet where it can
    sha256: str
    git_name: str
    about: tuple[int, int, int]  # inode, bytes, time of its last change

    def is_there_alike(self, sums: tuple[str | None, str | None] | None) -> bool:
        """Whether the hub announces this content: SHA-256 and git's name of it, None where it says none."""
        if sums is None:
            return False
        return self.sha256 == sums[0] if sums[0] else self.git_name == sums[1]

    @property
    def is_large(self) -> bool:
        """Whether it takes a while to send."""
        return self.content.size_bytes > AT_ONCE_BYTES

    def has_changed(self) -> bool:
        """Whether its path leads to anything else by now."""
        try:
            return _about(self.content.path) != self.about
        except OSError:
            return True


def read_outgoing(content: Content, stack: ExitStack, tally: "Tally") -> Outgoing:
    """Read a file for its sums; a small one is held, a large one stays open.

    Args:
        content: The file.
        stack: Closes it.
        tally: Is told what is read of a large one.

    Raises:
        OSError: it cannot be read.
    """
    about = _about(content.path)
    sha256 = hashlib.sha256()
    # git names a file by the SHA-1 of its length and its content. No secret depends on it.
    git_name = hashlib.sha1(f"blob {about[1]}\0".encode(), usedforsecurity=False)
    body: io.BytesIO | io.BufferedReader
    if about[1] <= AT_ONCE_BYTES:
        body = io.BytesIO(content.path.read_bytes())
    else:
        body = stack.enter_context(_Counted(content.path, tally.of(content.name)))
    while chunk := body.read(CHUNK_BYTES):
        sha256.update(chunk)
        git_name.update(chunk)
    body.seek(0)
    return Outgoing(content, body, sha256.hexdigest(), git_name.hexdigest(), about)


def _about(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Counted(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "rb"), CHUNK_BYTES)
        self._on_bytes = on_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._on_bytes(self.tell())
        return found


class Tally:
    """Adds the large files' bytes up for the caller's callback, from `begin` on."""

    def __init__(self, on_progress: Progress | None) -> None:
        """Tell `on_progress`, or nobody."""
        self._on_progress = on_progress
        self._done: dict[str, int] = {}
        self._total = 0

    def begin(self, large: Iterable[Content]) -> None:
        """What was read up to now was read for its sums."""
        sizes = {each.name: each.size_bytes for each in large}
        self._done, self._total = dict.fromkeys(sizes, 0), sum(sizes.values())

    def of(self, name: str) -> Callable[[int], None]:
        """The callback of one file."""

        def on_bytes(done: int) -> None:
            if name in self._done and self._on_progress is not None:
                self._done[name] = done
                self._on_progress(sum(self._done.values()), self._total)

        return on_bytes
